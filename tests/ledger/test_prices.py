import pytest

from chiliad.config import PriceSettings, Settings
from chiliad.errors import ConfigError
from chiliad.ledger import MachinePrice
from chiliad.ledger.hosted import HOSTED, hosted_cost


def hourly(**figures):
    return MachinePrice.of(PriceSettings(**figures)).per_second * 3600


def test_a_rented_machine_costs_its_rent_and_its_idle_time():
    assert hourly(machine_per_hour=2.0, idle_share=0.0) == pytest.approx(2)
    assert hourly(machine_per_hour=2.0, idle_share=0.75) == pytest.approx(8)
    assert hourly(machine_per_hour=2.0, idle_share=0.0, machine_purchase=1e6, power_watts=1e6) == pytest.approx(2)


def test_a_bought_machine_is_paid_off_over_its_life_and_burns_power():
    years = 1000 / (24 * 365.25)  # a thousand hours
    assert hourly(
        machine_purchase=500.0, machine_life_years=years, power_watts=200.0, power_per_kwh=0.5, idle_share=0.0
    ) == pytest.approx(0.5 + 0.1)


def test_assumptions_are_called_so_and_own_figures_are_not():
    assert "assumptions" in MachinePrice.of(PriceSettings()).told
    assert "assumptions" not in MachinePrice.of(PriceSettings(power_watts=40.0)).told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDLE_SHARE", "1"),
        ("MACHINE_LIFE_YEARS", "0"),
        ("POWER_WATTS", "-1"),
        ("POWER_WATTS", "nan"),
        ("MACHINE_PER_HOUR", "inf"),
        ("POWER_PER_KWH", "cheap"),
        ("POWER_PER_KHW", "0.2"),
    ],
)
def test_figures_that_cannot_be_are_refused(name, value):
    with pytest.raises(ConfigError):
        Settings.load(environ={f"CHILIAD_PRICES__{name}": value})


def test_figures_come_from_the_environment():
    assert Settings.load(environ={"CHILIAD_PRICES__MACHINE_PER_HOUR": "1.5"}).prices.machine_per_hour == 1.5


@pytest.mark.parametrize("model", HOSTED)
def test_the_hosted_models_that_we_compare_with_have_prices(model):
    once = hosted_cost(model, prompt_tokens=1000, answer_tokens=100)
    assert once.cost is not None
    assert hosted_cost(model, prompt_tokens=2000, answer_tokens=200).cost == pytest.approx(2 * once.cost)


def test_a_model_that_nobody_sells_has_none():
    assert hosted_cost("no-such-model", prompt_tokens=1, answer_tokens=1).cost is None
