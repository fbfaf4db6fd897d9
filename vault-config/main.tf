# One tenant's way into Vault: its JWT mount, its roles, its policies. What is bound and why: docs/vault.md.

locals {
  mount_path = coalesce(var.mount_path, "attestation-${var.tenant}")

  # A role's user_claim names the alias, and alias metadata belong to the alias: the last login wins, for tokens issued
  # earlier too. So user_claim has to determine every claim that the kind's policy reads (docs/vault.md, "The overwrite").
  kinds = {
    workload    = { user_claim = "sub", mapped = ["tenant", "workload"] }
    instance    = { user_claim = "instance", mapped = ["tenant", "workload", "instance"] }
    measurement = { user_claim = "measurement_id", mapped = ["tenant", "tee", "policy", "measurement_id"] }
  }

  workloads = [for w in var.workloads : w if w.vault.mount == local.mount_path]
  known     = { for name, _ in var.roles : name => [for w in local.workloads : w if w.vault.role == name] }
  served    = { for name, ws in local.known : name => [for w in ws : w if w.state == "enabled"] }
  # A role whose workloads are all disabled goes; one that never had any is a mistake and stays, to be refused below.
  roles = { for name, role in var.roles : name => role if length(local.served[name]) > 0 || length(local.known[name]) == 0 }

  policy_files = "${path.module}/../policies"
  # Underscores occur in no name, so no two tenants' or workloads' policies can get the same one.
  templated = toset([for r in values(local.roles) : r.kind if !r.static_policy])
  policies = merge(
    {
      for kind in local.templated : "${local.mount_path}_${kind}" => join("\n", [
        templatefile("${local.policy_files}/${kind}.hcl", {
          accessor      = vault_jwt_auth_backend.this.accessor
          secrets_mount = var.secrets_mount
        }),
        file("${local.policy_files}/own-token.hcl"),
      ])
    },
    merge([
      for name, role in local.roles : {
        for w in local.served[name] : "${local.mount_path}_static_${w.name}" => join("\n", [
          templatefile("${local.policy_files}/static.hcl", {
            secrets_mount = var.secrets_mount
            tenant        = var.tenant
            workload      = w.name
          }),
          file("${local.policy_files}/own-token.hcl"),
        ])
      } if role.static_policy
    ]...)
  )
  role_policies = {
    for name, role in local.roles : name => role.static_policy ? [
      for w in local.served[name] : "${local.mount_path}_static_${w.name}"
    ] : ["${local.mount_path}_${role.kind}"]
  }

  # A list means any of these; the provider takes it joined by commas, which no value here can contain.
  bound_claims = {
    for name, role in local.roles : name => merge(
      { for claim, accepted in role.extra_bound_claims : claim => join(",", accepted) },
      role.kind == "measurement" ? { policy = join(",", sort(toset(local.served[name][*].policy))) } : {},
      length(role.tees) > 0 ? { tee = join(",", role.tees) } : {},
      {
        tenant        = var.tenant
        sub           = join(",", sort([for w in local.served[name] : "w:${w.uuid}"]))
        workload      = join(",", sort(local.served[name][*].name))
        root          = role.root
        simulated     = tostring(role.simulated)
        host_excluded = tostring(role.host_excluded)
        dbgstat       = join(",", role.dbgstat)
      },
    )
  }
}

resource "vault_jwt_auth_backend" "this" {
  path        = local.mount_path
  type        = "jwt"
  description = "Attestation results of tenant ${var.tenant}"

  bound_issuer       = var.issuer
  jwt_supported_algs = var.signing_algorithms

  # Vault fetches the keys while this is written, so the verifier has to be up.
  jwks_url              = var.discovery ? null : coalesce(var.jwks_url, "${var.issuer}/.well-known/jwks.json")
  jwks_ca_pem           = var.discovery ? null : var.ca_pem
  oidc_discovery_url    = var.discovery ? var.issuer : null
  oidc_discovery_ca_pem = var.discovery ? var.ca_pem : null

  lifecycle {
    precondition {
      condition     = !var.discovery || var.jwks_url == null
      error_message = "jwks_url: got ${coalesce(var.jwks_url, "nothing")}, want none with discovery = true: a mount has one source of keys."
    }

    precondition {
      condition     = endswith(var.issuer, "/t/${var.tenant}")
      error_message = "issuer: got ${var.issuer}, want one that ends in /t/${var.tenant}."
    }

    precondition {
      condition     = alltrue([for w in local.workloads : w.tenant == var.tenant])
      error_message = "workloads: ${join(", ", [for w in local.workloads : w.name if w.tenant != var.tenant])}: vault.mount is ${local.mount_path}, which serves tenant ${var.tenant} and no other."
    }

    precondition {
      condition     = alltrue([for w in local.workloads : w.audience == var.audience])
      error_message = "workloads: ${join(", ", [for w in local.workloads : w.name if w.audience != var.audience])}: want audience ${var.audience}, the one of mount ${local.mount_path}."
    }

    precondition {
      condition     = alltrue([for w in local.workloads : contains(keys(var.roles), w.vault.role)])
      error_message = "workloads: ${join(", ", [for w in local.workloads : "${w.name} (${w.vault.role})" if !contains(keys(var.roles), w.vault.role)])}: vault.role names no role of this mount."
    }
  }
}

resource "vault_policy" "this" {
  for_each = local.policies

  name   = each.key
  policy = each.value
}

resource "vault_jwt_auth_backend_role" "this" {
  for_each = local.roles

  backend   = vault_jwt_auth_backend.this.path
  role_name = each.key
  role_type = "jwt"

  user_claim        = local.kinds[each.value.kind].user_claim
  claim_mappings    = { for claim in concat(local.kinds[each.value.kind].mapped, sort(var.audit_claims)) : claim => claim }
  bound_audiences   = [var.audience]
  bound_claims_type = "string"
  bound_claims      = local.bound_claims[each.key]
  # Without it Vault adds a minute to `exp`.
  clock_skew_leeway = 5

  token_type              = "service"
  token_ttl               = coalesce(each.value.token_ttl, var.token_ttl)
  token_max_ttl           = coalesce(each.value.token_ttl, var.token_ttl)
  token_policies          = concat([for name in local.role_policies[each.key] : vault_policy.this[name].name], each.value.extra_policies)
  token_no_default_policy = true
  token_bound_cidrs       = each.value.token_bound_cidrs

  lifecycle {
    precondition {
      condition     = length(local.known[each.key]) > 0
      error_message = "roles: ${each.key}: no workload of mount ${local.mount_path} names it in vault.role; a role that binds no workload would serve them all."
    }

    precondition {
      condition     = !each.value.static_policy || length(local.served[each.key]) == 1
      error_message = "roles: ${each.key}: static_policy serves exactly one workload, got ${length(local.served[each.key])}."
    }
  }
}
