# Against a real Vault: VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN. A verifier (or a stand-in) has to serve the issuer's keys:
# TF_VAR_issuer (…/t/acme), TF_VAR_ca_pem. tests/e2e/vault runs this with both.

variables {
  tenant   = "acme"
  audience = "vault:acme"
  workloads = [
    {
      uuid  = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "snp-web", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "shared" }
    },
    {
      uuid  = "1e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "api", tenant = "acme", policy = "snp-api", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "shared" }
    },
    {
      uuid  = "2e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "old", tenant = "acme", policy = "snp-api", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "shared" }, state = "disabled"
    },
    {
      uuid  = "3e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "box", tenant = "acme", policy = "box", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "machine" }
    },
    {
      uuid  = "4e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "gold", tenant = "acme", policy = "gold", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "state" }
    },
    {
      uuid  = "5e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "solo", tenant = "acme", policy = "solo", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "written-out" }
    },
    {
      uuid  = "6e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "gone", tenant = "acme", policy = "solo", audience = "vault:acme"
      vault = { mount = "attestation-acme", role = "nobody" }, state = "disabled"
    },
    {
      uuid  = "7e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "rival", policy = "web", audience = "vault:rival"
      vault = { mount = "attestation-rival", role = "shared" }
    },
  ]
  roles = {
    shared      = { kind = "workload" }
    machine     = { kind = "instance", root = "private", host_excluded = false, tees = ["tpm2"], token_ttl = 60 }
    state       = { kind = "measurement", tees = ["sev-snp", "tdx"] }
    written-out = { kind = "workload", static_policy = true, extra_bound_claims = { tcb_status = ["UpToDate", "NotApplicable"] } }
    nobody      = { kind = "workload" }
  }
}

run "apply_with_jwks" {
  assert {
    condition     = vault_jwt_auth_backend.this.bound_issuer == var.issuer && vault_jwt_auth_backend.this.jwks_url == "${var.issuer}/.well-known/jwks.json"
    error_message = "The mount has to bind the issuer and fetch its keys."
  }

  assert {
    condition     = alltrue([for r in vault_jwt_auth_backend_role.this : length(setsubtract(["root", "simulated", "host_excluded", "dbgstat", "tenant", "sub", "workload"], keys(r.bound_claims))) == 0])
    error_message = "Every role has to bind root, simulated, host_excluded, dbgstat, tenant, sub and workload."
  }

  assert {
    condition     = alltrue([for r in vault_jwt_auth_backend_role.this : r.clock_skew_leeway == 5 && r.token_ttl == r.token_max_ttl && r.token_no_default_policy && r.token_type == "service" && r.role_type == "jwt" && r.bound_claims_type == "string" && tolist(r.bound_audiences) == tolist(["vault:acme"])])
    error_message = "Every role: leeway 5, ttl = max ttl, no default policy, service tokens, type jwt, exact claims, one audience."
  }

  assert {
    condition     = vault_jwt_auth_backend_role.this["shared"].user_claim == "sub" && toset(keys(vault_jwt_auth_backend_role.this["shared"].claim_mappings)) == toset(["tenant", "workload", "jti", "policy_digest"])
    error_message = "Workload roles: alias sub, templates read tenant and workload."
  }

  assert {
    condition     = vault_jwt_auth_backend_role.this["machine"].user_claim == "instance" && toset(keys(vault_jwt_auth_backend_role.this["machine"].claim_mappings)) == toset(["tenant", "workload", "instance", "jti", "policy_digest"])
    error_message = "Instance roles: alias instance, templates read tenant, workload and instance."
  }

  assert {
    condition     = vault_jwt_auth_backend_role.this["state"].user_claim == "measurement_id" && toset(keys(vault_jwt_auth_backend_role.this["state"].claim_mappings)) == toset(["tenant", "tee", "policy", "measurement_id", "jti", "policy_digest"])
    error_message = "Measurement roles: alias measurement_id, templates read tenant, tee, policy and measurement_id."
  }

  assert {
    condition     = vault_jwt_auth_backend_role.this["shared"].bound_claims["workload"] == "api,web" && vault_jwt_auth_backend_role.this["state"].bound_claims["policy"] == "gold" && vault_jwt_auth_backend_role.this["state"].bound_claims["tee"] == "sev-snp,tdx"
    error_message = "A role binds its enabled workloads and no others; a measurement role its policies and schemes too."
  }

  assert {
    condition     = vault_jwt_auth_backend_role.this["machine"].bound_claims["root"] == "private" && vault_jwt_auth_backend_role.this["machine"].bound_claims["host_excluded"] == "false" && vault_jwt_auth_backend_role.this["shared"].bound_claims["simulated"] == "false"
    error_message = "A role binds what it was told of the hardware."
  }

  assert {
    condition     = !contains(keys(output.roles), "nobody") && output.roles["shared"] == tolist(["api", "web"])
    error_message = "A role whose workloads are all disabled goes."
  }

  assert {
    condition     = toset(keys(output.policies)) == toset(["attestation-acme_workload", "attestation-acme_instance", "attestation-acme_measurement", "attestation-acme_static_solo"])
    error_message = "One templated policy a kind, one static policy a static role."
  }

  assert {
    condition     = alltrue([for text in values(output.policies) : strcontains(text, "auth/token/lookup-self") && strcontains(text, "auth/token/revoke-self") && !can(regex("path \"[^\"]*renew", text))])
    error_message = "Each policy grants lookup-self and revoke-self, and not renewal."
  }

  assert {
    condition     = alltrue([for text in values(output.policies) : !can(regex("metadata\\.(jti|policy_digest|measurement\\b[^_]|role|sub)", text))])
    error_message = "No policy reads what the alias name does not determine."
  }
}

run "second_plan_changes_nothing" {
  command = plan

  assert {
    condition     = vault_jwt_auth_backend.this.accessor == run.apply_with_jwks.accessor
    error_message = "The mount was to be replaced."
  }
}

run "apply_with_discovery" {
  variables {
    discovery    = true
    mount_path   = "attestation-other"
    audit_claims = []
    workloads = [{
      uuid  = "0e1006c5-7332-4b9c-b569-33045f0ccf1b", name = "web", tenant = "acme", policy = "web", audience = "vault:acme"
      vault = { mount = "attestation-other", role = "shared" }
    }]
    roles = { shared = { kind = "workload" } }
  }

  assert {
    condition     = vault_jwt_auth_backend.this.oidc_discovery_url == var.issuer && vault_jwt_auth_backend.this.bound_issuer == var.issuer
    error_message = "Discovery takes the issuer, and the issuer is bound as well."
  }

  assert {
    condition     = toset(keys(vault_jwt_auth_backend_role.this["shared"].claim_mappings)) == toset(["tenant", "workload"])
    error_message = "Audit claims are left out where they are not wanted."
  }
}
