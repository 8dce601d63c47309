"""Plain words and invented people, so that texts differ and mean nobody."""

from __future__ import annotations

from random import Random

NOUNS = (
    "apple arrow badge basket beach bell berry bike bird board boat book bottle bowl box brick bridge brush bucket bus "
    "button cable cake camera camp candle card carpet cart castle cat chain chair cherry city class clock cloud coat coin "
    "comb cook corner couch crab crown cup curtain desk dish dog door dress drum duck ear engine eye face farm feather "
    "fence field film fish flag flower fork fox frog game garden gate gift glass glove goat guitar hammer hand hat hill "
    "horse house island jacket jar key kitchen kite ladder lake lamp leaf lemon letter library lion machine map market "
    "mask match mirror moon mouse museum needle nest nurse ocean office orange oven owl page paint paper park path pen "
    "pencil phone piano picture pig pillow pilot plant plate pocket pond potato prize queen radio rain ring river road "
    "robot roof room rope sail school ship shirt shoe shop snake song spoon star station stone story street student sugar "
    "table teacher tent ticket tiger tomato tower toy train tree truck umbrella valley village wall watch wheel window wolf"
).split()
ADJECTIVES = (
    "big blue brave bright brown busy calm cheap clean clear cold cool dark deep dry early empty fast fine flat fresh full "
    "good green happy hard heavy high hot kind large late light long loud low new nice old open pink quick quiet red rich "
    "round safe sharp short slow small soft strong sweet tall thin tiny warm weak wet white wide wild young"
).split()
VERBS = (
    "add ask bake build buy call carry change check choose clean close cook count create cut dance delete draw drive drop "
    "eat enter fetch fill find fix fly get give help hide hold jump keep learn leave load lock look make mix move open "
    "paint pass pay plan play print pull push read remove run save search sell send set share show sing sleep sort start "
    "stop study swim take talk tell turn update use visit wait walk wash watch win work write"
).split()
FIRST_NAMES = (
    "Adi Agus Alice Amir Ana Anton Ayu Bella Bima Budi Carla Chen Clara Dewi Diego Dian Eka Elena Emma Eva Farah Felix "
    "Fitri Gita Hana Hugo Ida Indra Ivan Jana Joko Julia Karim Lars Laura Lina Lukas Made Maria Maya Mila Nadia Nils Nina "
    "Nora Olga Omar Oscar Paul Petra Putri Rani Rizki Rosa Sara Sari Siti Sofia Tariq Tina Tono Vera Wati Wayan Yusuf Zara"
).split()
LAST_NAMES = (
    "Adams Andersen Bauer Berg Black Brandt Brown Castro Cooper Costa Cruz Diaz Fischer Fox Garcia Gunawan Hansen Harris "
    "Hartono Hasan Hill Hidayat Jensen Kim Klein Kumar Kurniawan Lee Lopez Marino Martin Meyer Miller Moreau Nasution Novak "
    "Nugroho Olsen Park Perez Pratama Rahman Reed Rossi Russo Salim Santoso Saputra Sari Silva Simon Smith Stone Suryadi "
    "Tan Torres Utami Vidal Wagner Wang Weber White Wijaya Wilson Wong Wood Young Zimmer"
).split()


def phrase(random: Random, words: int) -> list[str]:
    """That many different words, such as a verb, an adjective and a noun."""
    kinds = [random.choice((VERBS, ADJECTIVES, NOUNS)) for _ in range(words - 1)]
    chosen: list[str] = []
    for kind in (*kinds, NOUNS):
        chosen.append(random.choice([word for word in kind if word not in chosen]))
    return chosen


def nouns(random: Random, number: int) -> list[str]:
    return random.sample(NOUNS, number)


def person(random: Random) -> tuple[str, str]:
    """A first and a last name."""
    return random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
