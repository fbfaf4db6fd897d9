variable "tenant" {
  description = "Name of the tenant that this mount serves. One mount a tenant: a mount trusts one issuer and one set of keys."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.tenant))
    error_message = "tenant: want a name of a-z, 0-9 and inner hyphens, at most 63 characters."
  }
}

variable "issuer" {
  description = "The tenant's issuer URL, {base}/t/{tenant}, byte for byte what the verifier writes into `iss`. Becomes bound_issuer: without it a mount takes another issuer's token that happens to use the same key."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/?#[:space:]]+(/[^?#[:space:]]*)?/t/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.issuer))
    error_message = "issuer: want https://host[:port][/path]/t/{tenant}, without query, fragment or trailing slash."
  }
}

variable "discovery" {
  description = "True: Vault finds the keys through the issuer's discovery document, so the issuer URL has to be reachable from Vault as it is written. False: Vault fetches jwks_url."
  type        = bool
  default     = false
  nullable    = false
}

variable "jwks_url" {
  description = "Where Vault fetches the tenant's keys. Null: {issuer}/.well-known/jwks.json, where the verifier serves them. Set it where Vault reaches the verifier by another name."
  type        = string
  default     = null

  validation {
    condition     = var.jwks_url == null || can(regex("^https://[^/?#[:space:]]+/[^?#[:space:]]+$", var.jwks_url))
    error_message = "jwks_url: want https://host[:port]/path."
  }
}

variable "ca_pem" {
  description = "CA certificates, PEM, that the verifier's TLS certificate has to chain to. Required: a server in the verifier's place can log in as every workload, so the system's list of CAs is not an answer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^\\s*-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----", var.ca_pem)) && !can(regex("PRIVATE KEY", var.ca_pem))
    error_message = "ca_pem: want one or more PEM certificates and no private key."
  }
}

variable "signing_algorithms" {
  description = "JWS algorithms that the mount accepts: the verifier's `signing_algorithm`, two while changing it."
  type        = list(string)
  default     = ["ES256"]
  nullable    = false

  validation {
    condition     = length(var.signing_algorithms) > 0 && length(setsubtract(var.signing_algorithms, ["ES256", "ES384", "EdDSA", "RS256", "PS256"])) == 0
    error_message = "signing_algorithms: want one or more of ES256, ES384, EdDSA, RS256, PS256."
  }
}

variable "mount_path" {
  description = "Path of the auth mount, below auth/. Null: attestation-{tenant}. Also the prefix of the policies' names."
  type        = string
  default     = null

  validation {
    condition     = var.mount_path == null || can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.mount_path))
    error_message = "mount_path: want one path segment of a-z, 0-9 and inner hyphens, at most 63 characters."
  }
}

variable "audience" {
  description = "The one audience of this mount's tokens. Give every mount its own, so that a token for one is of no use at another."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^,[:space:]]{1,512}$", var.audience))
    error_message = "audience: want 1 to 512 characters without space or comma."
  }
}

variable "secrets_mount" {
  description = "Path of the KV version 2 mount that holds the secrets. It is not created here."
  type        = string
  default     = "secret"
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$", var.secrets_mount))
    error_message = "secrets_mount: want path segments of letters, digits, hyphen and underscore: anything else could be a glob in a policy."
  }
}

variable "token_ttl" {
  description = "Life of a Vault token in seconds, used as TTL and as maximum. Until then a stolen token works: keep it short."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.token_ttl >= 1 && var.token_ttl <= 3600 && floor(var.token_ttl) == var.token_ttl
    error_message = "token_ttl: want whole seconds, 1 to 3600."
  }
}

variable "audit_claims" {
  description = "Claims that are copied into token and alias metadata for Vault's audit log only; no policy reads them. Vault writes the alias to storage whenever its metadata change, so `jti` costs one storage write a login."
  type        = set(string)
  default     = ["jti", "policy_digest"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.audit_claims, ["jti", "policy_digest"])) == 0
    error_message = "audit_claims: want a subset of jti, policy_digest. Any other claim that the alias name does not determine can be overwritten by another login."
  }
}

variable "workloads" {
  description = "Workload documents (policies/trust), as yamldecode reads them; further keys are ignored. Those whose vault.mount is this mount are served by the role that vault.role names, unless their state is disabled."
  type = list(object({
    uuid     = string
    name     = string
    tenant   = string
    policy   = string
    audience = string
    state    = optional(string, "enabled")
    vault = object({
      mount = string
      role  = string
    })
  }))
  nullable = false

  validation {
    condition     = alltrue([for w in var.workloads : can(regex("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", w.uuid))])
    error_message = "workloads[].uuid: want a UUID in lower case."
  }

  validation {
    condition = alltrue(flatten([
      for w in var.workloads : [
        for name in [w.name, w.tenant, w.policy] : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))
      ]
    ]))
    error_message = "workloads[]: name, tenant and policy want a name of a-z, 0-9 and inner hyphens, at most 63 characters. Vault folds case and expands + and * in templated paths."
  }

  validation {
    condition     = alltrue([for w in var.workloads : contains(["enabled", "disabled"], w.state)])
    error_message = "workloads[].state: want enabled or disabled."
  }

  validation {
    condition     = length(toset([for w in var.workloads : w.uuid])) == length(var.workloads)
    error_message = "workloads[].uuid: want each once. A uuid is never reused."
  }

  validation {
    condition     = length(toset([for w in var.workloads : "${w.tenant}/${w.name}"])) == length(var.workloads)
    error_message = "workloads[]: want each name once a tenant."
  }
}

variable "roles" {
  description = <<-EOT
    Roles by name. What each one means:
    kind: "workload" (alias `sub`), "instance" (alias `instance`) or "measurement" (alias `measurement_id`);
    root: whose anchors vouch for the hardware, "vendor", "private" or "simulated";
    simulated: true only for forged TEEs, together with root = "simulated";
    host_excluded: false admits schemes that trust the host (a bare TPM, a hypervisor's vTPM, Nitro);
    dbgstat: accepted debug states (EAT, RFC 9711 section 4.2.9); "enabled" only where simulated;
    tees: accepted schemes, required for kind "measurement";
    static_policy: a policy with the workload's name written out; kind "workload" with exactly one workload;
    extra_policies: Vault policies of your own that the role's tokens get as well;
    extra_bound_claims: further claims to bind, flat names or JSON pointers, each with its accepted values;
    token_ttl: instead of the module's;
    token_bound_cidrs: addresses that may log in and use the token.
  EOT
  type = map(object({
    kind               = string
    root               = optional(string, "vendor")
    simulated          = optional(bool, false)
    host_excluded      = optional(bool, true)
    dbgstat            = optional(list(string), ["disabled", "disabled-since-boot", "disabled-permanently", "disabled-fully-and-permanently"])
    tees               = optional(list(string), [])
    static_policy      = optional(bool, false)
    extra_policies     = optional(list(string), [])
    extra_bound_claims = optional(map(list(string)), {})
    token_ttl          = optional(number)
    token_bound_cidrs  = optional(list(string), [])
  }))
  nullable = false

  validation {
    condition     = length(var.roles) > 0 && alltrue([for name, _ in var.roles : can(regex("^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,125}[A-Za-z0-9_])?$", name))])
    error_message = "roles: want at least one, each with a name of letters, digits, and inner dots and hyphens, as vault.role takes it."
  }

  validation {
    condition     = alltrue([for r in values(var.roles) : contains(["workload", "instance", "measurement"], r.kind)])
    error_message = "roles[].kind: want workload, instance or measurement."
  }

  validation {
    condition     = alltrue([for r in values(var.roles) : contains(["vendor", "private", "simulated"], r.root) && (r.root == "simulated") == r.simulated])
    error_message = "roles[].root: want vendor, private or simulated, and simulated exactly where simulated = true."
  }

  validation {
    condition = alltrue([
      for r in values(var.roles) : length(r.dbgstat) > 0 && length(setsubtract(r.dbgstat, concat(
        ["disabled", "disabled-since-boot", "disabled-permanently", "disabled-fully-and-permanently"],
        r.simulated ? ["enabled"] : []
      ))) == 0
    ])
    error_message = "roles[].dbgstat: want one or more of EAT's disabled states; enabled only where simulated = true."
  }

  validation {
    condition     = alltrue(flatten([for r in values(var.roles) : [for tee in r.tees : can(regex("^[a-z0-9-]{1,40}$", tee))]])) && alltrue([for r in values(var.roles) : r.kind != "measurement" || length(r.tees) > 0])
    error_message = "roles[].tees: want names of schemes, and at least one where kind is measurement."
  }

  validation {
    condition     = alltrue([for r in values(var.roles) : !r.static_policy || r.kind == "workload"])
    error_message = "roles[].static_policy: want kind workload."
  }

  validation {
    condition     = alltrue(flatten([for r in values(var.roles) : [for p in r.extra_policies : !contains(["default", "root", ""], p)]]))
    error_message = "roles[].extra_policies: want names of policies other than default and root. default grants renewal."
  }

  validation {
    condition = alltrue(flatten([
      for r in values(var.roles) : [
        for claim, accepted in r.extra_bound_claims :
        length(accepted) > 0 && alltrue([for v in accepted : can(regex("^[^,[:space:]]+$", v))]) && !contains([
          "iss", "sub", "aud", "tenant", "workload", "root", "simulated", "host_excluded", "dbgstat", "tee", ""
        ], trimprefix(claim, "/"))
      ]
    ]))
    error_message = "roles[].extra_bound_claims: want claims that the module does not bind itself, each with one or more values without comma or space."
  }

  validation {
    condition     = alltrue([for r in values(var.roles) : r.token_ttl == null || try(r.token_ttl >= 1 && r.token_ttl <= 3600 && floor(r.token_ttl) == r.token_ttl, false)])
    error_message = "roles[].token_ttl: want whole seconds, 1 to 3600."
  }

  validation {
    condition     = alltrue(flatten([for r in values(var.roles) : [for c in r.token_bound_cidrs : can(cidrhost(c, 0))]]))
    error_message = "roles[].token_bound_cidrs: want CIDR blocks."
  }
}
