# Reads the workload documents out of a folder of trust documents (policies/trust), for the module's `workloads`: the same
# files that the verifier reads, and the same values in them.

variable "trust_dir" {
  description = "Folder of trust documents: *.yaml with several documents a file, *.json with one or an array. Names that begin with a dot are left out."
  type        = string
  nullable    = false
}

locals {
  names = [for name in sort(fileset(var.trust_dir, "**/*.{yaml,json}")) : name if !can(regex("(^|/)\\.", name))]

  # yamldecode reads one document; a line of three hyphens separates them, blanks and a comment may follow it.
  texts = flatten([
    for name in local.names : split("\n---\n", "\n${replace(replace(file("${var.trust_dir}/${name}"), "\r\n", "\n"), "/(?m)^---[ \\t]*(#.*)?$/", "---")}\n")
    if endswith(name, ".yaml")
  ])
  # Nothing but comments is no document.
  from_yaml = [for text in local.texts : yamldecode(text) if trimspace(replace(text, "/(?m)^\\s*#.*$/", "")) != ""]
  from_json = flatten([for name in local.names : jsondecode(file("${var.trust_dir}/${name}")) if endswith(name, ".json")])

  versions = { for d in concat(local.from_yaml, local.from_json) : "${d.tenant}/${d.name}" => d... if try(d.document, "") == "workload" }
}

output "workloads" {
  description = "All workload documents; of one in several versions the highest."
  value       = [for name in sort(keys(local.versions)) : [for d in local.versions[name] : d if d.version == max(local.versions[name][*].version...)][0]]
}
