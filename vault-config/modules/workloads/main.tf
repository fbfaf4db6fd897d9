# Reads the workload documents out of a folder of trust documents (policies/trust), for the module's `workloads`.

variable "trust_dir" {
  description = "Folder of trust documents: *.yaml and *.yml, several documents a file."
  type        = string
  nullable    = false
}

locals {
  files = sort(setunion(fileset(var.trust_dir, "**/*.yaml"), fileset(var.trust_dir, "**/*.yml")))

  # yamldecode reads one document; the files separate theirs by a line of three hyphens.
  texts = flatten([for name in local.files : split("\n---\n", "\n${replace(file("${var.trust_dir}/${name}"), "\r\n", "\n")}\n")])
  # Nothing but comments is no document.
  documents = [for text in local.texts : yamldecode(text) if trimspace(replace(text, "/(?m)^\\s*#.*$/", "")) != ""]

  versions = { for d in local.documents : "${d.tenant}/${d.name}" => d... if try(d.document, "") == "workload" }
}

output "workloads" {
  description = "All workload documents; of one in several versions the highest."
  value       = [for name in sort(keys(local.versions)) : [for d in local.versions[name] : d if d.version == max(local.versions[name][*].version...)][0]]
}
