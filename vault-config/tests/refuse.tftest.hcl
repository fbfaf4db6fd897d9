# What the module refuses before anything is written: one mistake a run. Nothing here reaches Vault's storage.

variables {
  tenant   = "acme"
  audience = "vault:acme"
  workloads = [
    {
      uuid  = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "shared" }
    },
  ]
  roles = { shared = { kind = "workload" } }
}

run "tenant_with_glob" {
  command = plan

  variables {
    tenant = "+"
  }

  expect_failures = [var.tenant]
}

run "tenant_upper_case" {
  command = plan

  variables {
    tenant = "Acme"
  }

  expect_failures = [var.tenant]
}

run "issuer_without_tls" {
  command = plan

  variables {
    issuer = "http://verifier.example/t/acme"
  }

  expect_failures = [var.issuer]
}

run "issuer_with_trailing_slash" {
  command = plan

  variables {
    issuer = "https://verifier.example/t/acme/"
  }

  expect_failures = [var.issuer]
}

run "issuer_of_another_tenant" {
  command = plan

  variables {
    issuer = "https://verifier.example/t/rival"
  }

  expect_failures = [vault_jwt_auth_backend.this]
}

run "jwks_without_tls" {
  command = plan

  variables {
    jwks_url = "http://verifier.example/jwks"
  }

  expect_failures = [var.jwks_url]
}

run "two_sources_of_keys" {
  command = plan

  variables {
    discovery = true
    jwks_url  = "https://verifier.example/jwks"
  }

  expect_failures = [vault_jwt_auth_backend.this]
}

run "no_ca" {
  command = plan

  variables {
    ca_pem = ""
  }

  expect_failures = [var.ca_pem]
}

run "algorithm_none" {
  command = plan

  variables {
    signing_algorithms = ["none"]
  }

  expect_failures = [var.signing_algorithms]
}

run "no_algorithm" {
  command = plan

  variables {
    signing_algorithms = []
  }

  expect_failures = [var.signing_algorithms]
}

run "mount_with_underscore" {
  command = plan

  variables {
    mount_path = "a_b"
  }

  expect_failures = [var.mount_path]
}

run "audience_with_comma" {
  command = plan

  variables {
    audience = "vault:a,vault:b"
  }

  expect_failures = [var.audience]
}

run "secrets_mount_with_glob" {
  command = plan

  variables {
    secrets_mount = "secret/*"
  }

  expect_failures = [var.secrets_mount]
}

run "long_lived_tokens" {
  command = plan

  variables {
    token_ttl = 86400
  }

  expect_failures = [var.token_ttl]
}

run "mapping_that_can_be_overwritten" {
  command = plan

  variables {
    audit_claims = ["measurement"]
  }

  expect_failures = [var.audit_claims]
}

run "workload_named_plus" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "+", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "workload_named_star" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "w*", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "workload_upper_case" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "Cat", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "workload_kelvin_sign" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "Kiosk", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "workload_with_slash" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "a/b", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "policy_with_comma" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "a,b", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "uuid_upper_case" {
  command = plan

  variables {
    workloads = [{ uuid = "0E1006C5-7332-4B9C-B569-33045F0CCF1B", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "uuid_twice" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }, { uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "api", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "name_twice" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }, { uuid = "1e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [var.workloads]
}

run "unknown_state" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" }, state = "paused" }]
  }

  expect_failures = [var.workloads]
}

run "workload_of_another_tenant" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }, { uuid = "1e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "rival", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [vault_jwt_auth_backend.this]
}

run "workload_of_another_audience" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:rival", vault = { mount = "attestation-acme", role = "shared" } }]
  }

  expect_failures = [vault_jwt_auth_backend.this]
}

run "workload_without_its_role" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }, { uuid = "1e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "api", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shard" } }]
  }

  expect_failures = [vault_jwt_auth_backend.this]
}

run "role_without_workload" {
  command = plan

  variables {
    workloads = []
  }

  expect_failures = [vault_jwt_auth_backend_role.this["shared"]]
}

run "static_policy_for_two" {
  command = plan

  variables {
    workloads = [{ uuid = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }, { uuid = "1e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "api", tenant = "acme", policy = "web", audience = "vault:acme", vault = { mount = "attestation-acme", role = "shared" } }]
    roles     = { shared = { kind = "workload", static_policy = true } }
  }

  expect_failures = [vault_jwt_auth_backend_role.this["shared"]]
}

run "no_role" {
  command = plan

  variables {
    roles = {}
  }

  expect_failures = [var.roles]
}

run "role_of_unknown_kind" {
  command = plan

  variables {
    roles = { shared = { kind = "oidc" } }
  }

  expect_failures = [var.roles]
}

run "root_of_nobody" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", root = "case-given" } }
  }

  expect_failures = [var.roles]
}

run "simulated_with_a_vendor_root" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", simulated = true } }
  }

  expect_failures = [var.roles]
}

run "simulated_root_not_said_aloud" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", root = "simulated" } }
  }

  expect_failures = [var.roles]
}

run "debug_on_real_hardware" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", dbgstat = ["enabled"] } }
  }

  expect_failures = [var.roles]
}

run "no_debug_state" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", dbgstat = [] } }
  }

  expect_failures = [var.roles]
}

run "measurement_without_scheme" {
  command = plan

  variables {
    roles = { shared = { kind = "measurement" } }
  }

  expect_failures = [var.roles]
}

run "static_policy_by_instance" {
  command = plan

  variables {
    roles = { shared = { kind = "instance", static_policy = true } }
  }

  expect_failures = [var.roles]
}

run "default_policy" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", extra_policies = ["default"] } }
  }

  expect_failures = [var.roles]
}

run "root_policy" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", extra_policies = ["root"] } }
  }

  expect_failures = [var.roles]
}

run "bound_claim_taken_back" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", extra_bound_claims = { simulated = ["true"] } } }
  }

  expect_failures = [var.roles]
}

run "bound_claim_taken_back_by_pointer" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", extra_bound_claims = { "/root" = ["simulated"] } } }
  }

  expect_failures = [var.roles]
}

run "bound_claim_without_value" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", extra_bound_claims = { tcb_status = [] } } }
  }

  expect_failures = [var.roles]
}

run "role_with_long_lived_tokens" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", token_ttl = 86400 } }
  }

  expect_failures = [var.roles]
}

run "role_without_network" {
  command = plan

  variables {
    roles = { shared = { kind = "workload", token_bound_cidrs = ["everywhere"] } }
  }

  expect_failures = [var.roles]
}
