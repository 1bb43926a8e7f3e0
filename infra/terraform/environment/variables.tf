variable "environment" {
  description = "Name of the environment, and of its cluster."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,38}[a-z0-9]$", var.environment))
    error_message = "environment must be 2 to 40 lower-case letters, digits and dashes, and start with a letter."
  }
}

variable "cloud" {
  description = "Name of the cloud in clouds.yaml."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.cloud) > 0
    error_message = "cloud must name a cloud in clouds.yaml."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version, as v1.33.4; becomes the template label kube_tag."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+([+-][0-9A-Za-z.+-]+)?$", var.kubernetes_version))
    error_message = "kubernetes_version must look like v1.33.4."
  }
}

variable "image" {
  description = "Name or id of the Glance image of the nodes; it needs the property os_distro."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.image) > 0
    error_message = "image must name a Glance image."
  }
}

variable "masters" {
  description = "Control plane nodes. Neither the number nor the flavor can be changed without a new cluster."
  type        = object({ count = number, flavor = string })
  nullable    = false

  validation {
    condition     = var.masters.count >= 1 && var.masters.count % 2 == 1
    error_message = "masters.count must be odd: etcd needs a majority."
  }
}

variable "nodes" {
  description = "Default worker nodes. The number can be changed; the flavor cannot without a new cluster."
  type        = object({ count = number, flavor = string })
  nullable    = false

  validation {
    condition     = var.nodes.count >= 0 && floor(var.nodes.count) == var.nodes.count
    error_message = "nodes.count must be a whole number, at least 0."
  }
}

variable "node_groups" {
  description = "Node groups beside the default ones. min and max bound what an autoscaler may do."
  type = list(object({
    name   = string
    count  = number
    flavor = string
    min    = optional(number)
    max    = optional(number)
  }))
  default  = []
  nullable = false

  validation {
    condition     = length(distinct(var.node_groups[*].name)) == length(var.node_groups)
    error_message = "Each node group needs a name of its own."
  }

  validation {
    condition     = alltrue([for group in var.node_groups : !startswith(group.name, "default-")])
    error_message = "Names of node groups must not start with default-: Magnum's own are called default-master and default-worker."
  }

  validation {
    condition = alltrue([
      for group in var.node_groups :
      group.count >= coalesce(group.min, 0) && group.count <= coalesce(group.max, group.count)
    ])
    error_message = "The count of a node group must lie between its min and its max."
  }
}

variable "ssh_public_key" {
  description = "Public key for the keypair of the nodes. Nodes that exist keep the key they were made with."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?\\s*$", var.ssh_public_key))
    error_message = "ssh_public_key must be one line in OpenSSH format."
  }
}

variable "labels" {
  description = "Labels for the cluster template; what they mean differs by Magnum driver."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.labels), ["kube_tag", "plumbline_environment"])) == 0
    error_message = "The labels kube_tag and plumbline_environment are set by Plumbline itself."
  }
}

variable "external_network" {
  description = "Neutron network for floating IPs and load balancers; left to Magnum's driver when unset."
  type        = string
  default     = null
}

variable "fixed_network" {
  description = "Neutron network that the nodes stand in; Magnum's driver makes one when unset."
  type        = string
  default     = null
}

variable "fixed_subnet" {
  description = "Subnet of fixed_network; left to Magnum's driver when unset."
  type        = string
  default     = null

  validation {
    condition     = var.fixed_subnet == null || var.fixed_network != null
    error_message = "fixed_subnet needs fixed_network."
  }
}

variable "volume_driver" {
  description = "Who gives pods their volumes; left to Magnum's driver when null."
  type        = string
  default     = "cinder"
}

variable "network_driver" {
  description = "Pod network (CNI); left to Magnum's driver when unset."
  type        = string
  default     = null
}

variable "docker_volume_size" {
  description = "GiB of a Cinder volume for container images on each node; none when unset."
  type        = number
  default     = null
}

variable "master_load_balancer" {
  description = "Whether a load balancer stands before the masters."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.master_load_balancer || var.masters.count == 1
    error_message = "Several masters need a load balancer before them."
  }
}

variable "floating_ip" {
  description = "Whether the API and the nodes get floating IPs."
  type        = bool
  default     = true
  nullable    = false
}

variable "cluster_timeout" {
  description = "Minutes an operation on the cluster may take."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.cluster_timeout >= 1 && var.cluster_timeout <= 1440
    error_message = "cluster_timeout must be 1 to 1440 minutes."
  }
}
