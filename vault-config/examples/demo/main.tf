# What `make demo` applies: a software TPM under a CA of the demo's own, so the tokens say root "private", and a TPM alone
# excludes no host, so they say host_excluded "false"; the roles bind both. Every mount is one entry, so that the demo can
# show a second issuer (a simulated one) being refused by a role that is meant for real hardware.

variable "trust_dir" {
  description = "Folder of trust documents, the same that the verifier reads."
  type        = string
}

variable "mounts" {
  description = "Mounts by path: tenant, verifier_url, verifier_ca_file, audience, and roles as the module takes them (left out: one role `demo` for the software TPM)."
  type        = any
}

locals {
  demo_roles = { demo = { kind = "workload", root = "private", host_excluded = false, tees = ["tpm2"] } }
}

module "trust" {
  source = "../../modules/workloads"

  trust_dir = var.trust_dir
}

module "attestation" {
  source   = "../.."
  for_each = var.mounts

  mount_path = each.key
  tenant     = each.value.tenant
  issuer     = "${each.value.verifier_url}/t/${each.value.tenant}"
  ca_pem     = file(each.value.verifier_ca_file)
  audience   = each.value.audience
  workloads  = module.trust.workloads
  roles      = try(each.value.roles, local.demo_roles)
}

output "roles" {
  description = "By mount: roles with the workloads that each one serves."
  value       = { for path, mount in module.attestation : path => mount.roles }
}

output "accessors" {
  description = "By mount: its accessor."
  value       = { for path, mount in module.attestation : path => mount.accessor }
}
