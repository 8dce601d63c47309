import pytest

from chiliad.config import ElsewhereSettings, PriceSettings, Settings
from chiliad.errors import ConfigError
from chiliad.ledger import MachinePrice
from chiliad.ledger.elsewhere import HOSTED, hosted_cost
from chiliad.store import Sum


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


def hosted(model, times=1):
    total = Sum("total", times, times, 1000 * times, 0, 100 * times, 1.0, 1.0, 1.0)
    return hosted_cost(model, total, ElsewhereSettings())


@pytest.mark.parametrize("model", HOSTED)
def test_the_hosted_models_that_we_compare_with_have_prices(model):
    once, twice = hosted(model), hosted(model, times=2)
    assert twice.cost == pytest.approx(2 * once.cost)
    assert twice.cost_per_answer == pytest.approx(once.cost)
    assert twice.seconds_per_answer == once.seconds_per_answer > 0


def test_a_model_that_nobody_sells_has_none():
    assert hosted("no-such-model").cost is None


def test_a_hosted_model_has_some_speed():
    with pytest.raises(ConfigError, match="no speed"):
        Settings.load(environ={"CHILIAD_ELSEWHERE__HOSTED_TOKENS_PER_SECOND": "0"})
