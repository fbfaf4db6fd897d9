"""Settings: the environment beats the file, unknown keys are refused, unsafe combinations stop the start by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from verifier.adapters.settings_source import load_settings
from verifier.core.settings import Settings
from verifier.formats.errors import ConfigError

GOOD = {
    "VAB_BASE_URL": "https://verifier.example",
    "VAB_TLS_CERTIFICATE": "/c.pem",
    "VAB_TLS_KEY": "/k.pem",
    "VAB_KEY_PASSPHRASE_FILE": "/p",
}


def test_environment_beats_the_file_and_the_rest_is_the_file_s(tmp_path: Path) -> None:
    path = tmp_path / "verifier.toml"
    path.write_text('base_url = "https://a.example"\nthreads = 9\nworkers = 3\n', encoding="utf-8")

    settings = load_settings(str(path), {**GOOD, "VAB_WORKERS": "5"})

    assert (settings.base_url, settings.threads, settings.workers) == ("https://verifier.example", 9, 5)
    assert type(settings) is Settings


def test_database_url_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://u:secret@db/x\n", encoding="utf-8")

    assert (
        load_settings(None, {**GOOD, "VAB_DATABASE_URL_FILE": str(path)}).database_url == "postgresql://u:secret@db/x"
    )


def test_tenants_are_a_list_in_both_sources(tmp_path: Path) -> None:
    path = tmp_path / "verifier.toml"
    path.write_text('tenants = ["a", "b"]\n', encoding="utf-8")

    assert load_settings(str(path), GOOD).tenants == ("a", "b")
    assert load_settings(str(path), {**GOOD, "VAB_TENANTS": "x,y"}).tenants == ("x", "y")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("colour = 1\n", "colour"),
        ('threads = "many"\n', "threads"),
        ("base_url = \n", "file"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "verifier.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_settings(str(path), GOOD)
    assert caught.value.key == key
    assert caught.value.where == str(path)


def test_no_value_that_may_be_a_secret_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "verifier.toml"
    path.write_text('key_passphrase = "hunter2"\n', encoding="utf-8")
    lacking = {name: value for name, value in GOOD.items() if name != "VAB_BASE_URL"}
    for where, environment in (
        (str(path), GOOD),
        (None, {**GOOD, "VAB_KEY_PASSPHRASE": "hunter2"}),
        (None, {**lacking, "VAB_DATABASE_URL": "postgresql://u:hunter2@db/x"}),
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings(where, environment)
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(caught.value.got)


def test_every_setting_has_a_meaning() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {**GOOD, "VAB_TOKEN_LIVE_S": "60"})
    assert caught.value.key == "VAB_TOKEN_LIVE_S"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"VAB_BASE_URL": "http://verifier.example"}, "base_url"),
        ({"VAB_BASE_URL": "https://verifier.example/"}, "base_url"),
        ({"VAB_BASE_URL": "https://verifier.example?x=1"}, "base_url"),
        ({"VAB_TLS_KEY": ""}, "tls_key"),
        ({"VAB_TLS_KEY": "", "VAB_TLS_CERTIFICATE": ""}, "tls_certificate"),
        (
            {"VAB_TLS_KEY": "", "VAB_TLS_CERTIFICATE": "", "VAB_BEHIND_TLS_PROXY": "true", "VAB_BIND": "0.0.0.0:80"},
            "bind",
        ),
        ({"VAB_TENANTS": "default,default"}, "tenants"),
        ({"VAB_TENANTS": "+"}, "tenants"),
        ({"VAB_TENANTS": "Default"}, "tenants"),
        ({"VAB_SIGNING_ALGORITHM": "HS256"}, "signing_algorithm"),
        ({"VAB_TOKEN_LIFE_S": "301"}, "token_life_s"),
        ({"VAB_TOKEN_LIFE_S": "9"}, "token_life_s"),
        ({"VAB_JWKS_MAX_AGE_S": "0"}, "jwks_max_age_s"),
        ({"VAB_KEY_PUBLISH_LEAD_S": "59"}, "key_publish_lead_s"),
        ({"VAB_SIGNING_KEY_LIFE_S": "1200"}, "signing_key_life_s"),
        ({"VAB_KEY_PASSPHRASE_FILE": ""}, "key_passphrase_file"),
        ({"VAB_THREADS": "0"}, "workers"),
        ({"VAB_EVIDENCE_RETENTION_DAYS": "-1"}, "evidence_retention_days"),
        ({"VAB_RATE_PER_MINUTE": "0"}, "rate_per_minute"),
    ],
)
def test_unsafe_combinations_are_refused_by_name(change: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {**GOOD, **change})
    assert caught.value.key == key
