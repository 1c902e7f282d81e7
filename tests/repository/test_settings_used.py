"""Every setting is obeyed by somebody, or is said not to be: nobody turns a knob that is connected to nothing."""

from __future__ import annotations

from dataclasses import fields

from cli.backups.catalogue import PlaceSettings
from cli.backups.retention import RetentionSettings
from cli.keys.token_rotation import RotationSettings
from foundation.known_settings import KNOWN, NOT_ACTED_ON
from gateway.settings import GatewaySettings
from services.agent_runner.settings import RunnerSettings
from services.coordinator.settings import CoordinatorSettings
from services.safety.settings import SafetySettings
from tests.repository.tracked import ROOT

CLASSES = (
    *(GatewaySettings, RotationSettings, RunnerSettings, CoordinatorSettings, SafetySettings),
    *(PlaceSettings, RetentionSettings),
)


def test_a_setting_is_loaded_by_a_service_or_listed_as_not_acted_on() -> None:
    loaded = {field.name for settings in CLASSES for field in fields(settings)}
    assert loaded | NOT_ACTED_ON == set(KNOWN)
    assert not loaded & NOT_ACTED_ON


def test_the_readme_names_every_setting_that_is_not_acted_on() -> None:
    section = (ROOT / "README.md").read_text().partition("## What is accepted and not acted on yet")[2]
    assert {name for name in NOT_ACTED_ON if f"`{name}`" not in section} == set()
