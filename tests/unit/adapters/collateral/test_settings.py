"""Settings of collateral: senseless ones are refused by name, and a process for forged TEEs never asks the real vendors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verifier.adapters.settings_source import load_settings
from verifier.compose import endpoints_of, has_endpoints, open_cache
from verifier.core.settings import Settings, check_settings
from verifier.formats.errors import ConfigError

BASE = Settings(base_url="https://verifier.example", behind_tls_proxy=True, key_passphrase_file="p")  # noqa: S106 - a file


def changed(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kds_url", "http://kds"),
        ("kds_url", "kds.example"),
        ("kds_url", "https://user:word@kds"),
        ("pcs_url", "https://pcs?x=1"),
        ("intel_root_crl_url", "ftp://x"),
        ("intel_root_crl_url", ""),
        ("collateral_cache_mib", 0),
        ("collateral_queue", 0),
        ("collateral_quota_per_source", 0),
        ("collateral_quota_per_tenant", -1),
        ("kds_interval_s", -0.1),
        ("pcs_interval_s", 61.0),
        ("nvidia_ocsp_url", "http://ocsp.ndis.nvidia.com"),
        ("nvidia_ocsp_interval_s", -1.0),
        ("intel_tcb_evaluation_number", -1),
    ],
)
def test_senseless_settings_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(changed(BASE, **{key: value}))
    assert caught.value.key == key


def test_the_environment_sets_them_too() -> None:
    environment = {
        "VAB_BASE_URL": "https://verifier.example", "VAB_BEHIND_TLS_PROXY": "true", "VAB_KEY_PASSPHRASE_FILE": "p",
        "VAB_KDS_URL": "", "VAB_PCS_URL": "https://pccs.example:8081", "VAB_PCS_IS_PCCS": "true", "VAB_KDS_INTERVAL_S": "1.5",
        "VAB_INTEL_TCB_UPDATE": "early",
    }  # fmt: skip
    settings = load_settings(None, environment)

    assert (settings.kds_url, settings.pcs_is_pccs, settings.kds_interval_s) == ("", True, 1.5)
    assert settings.intel_tcb_update == "early"
    with pytest.raises(ConfigError):
        load_settings(None, {**environment, "VAB_INTEL_TCB_UPDATE": "soon"})


def test_amd_and_intel_are_asked_by_default_nvidia_where_it_is_named_and_none_where_none_is() -> None:
    assert [one.vendor.name for one in endpoints_of(BASE)] == ["amd", "intel"]
    with_nvidia = changed(BASE, kds_url="", pcs_url="", nvidia_ocsp_url="https://ocsp.ndis.nvidia.com")
    assert [one.vendor.name for one in endpoints_of(with_nvidia)] == ["nvidia"]
    assert has_endpoints(with_nvidia)
    assert not has_endpoints(changed(BASE, kds_url="", pcs_url=""))


def test_a_process_for_forged_tees_asks_no_real_vendor() -> None:
    simulated = changed(BASE, simulated=True)
    assert endpoints_of(simulated) == []
    assert not has_endpoints(simulated)

    mirrored = changed(simulated, kds_url="https://127.0.0.1:1")
    assert [one.vendor.name for one in endpoints_of(mirrored)] == ["amd"]


def test_a_subscription_key_is_read_from_its_file_and_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-secret-key\n")
    endpoints = endpoints_of(changed(BASE, pcs_api_key_file=str(tmp_path / "key")))

    assert "a-secret-key" not in repr(endpoints)
    with pytest.raises(ConfigError):
        endpoints_of(changed(BASE, pcs_api_key_file=str(tmp_path / "none")))


def test_without_a_folder_nothing_is_kept() -> None:
    assert open_cache(changed(BASE, collateral_dir="")) is None
