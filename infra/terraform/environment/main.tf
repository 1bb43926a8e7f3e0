locals {
  # What the template says. Anything here that changes makes another template, with another name.
  template = {
    image                = var.image
    flavor               = var.nodes.flavor
    master_flavor        = var.masters.flavor
    external_network     = var.external_network
    fixed_network        = var.fixed_network
    fixed_subnet         = var.fixed_subnet
    network_driver       = var.network_driver
    volume_driver        = var.volume_driver
    docker_volume_size   = var.docker_volume_size
    master_load_balancer = var.master_load_balancer
    floating_ip          = var.floating_ip
    labels = merge(var.labels, {
      kube_tag = var.kubernetes_version
      # Our mark: templates and, by inheritance, clusters and node groups carry it.
      plumbline_environment = var.environment
    })
  }

  template_name = join("-", [
    var.environment, var.kubernetes_version, substr(sha256(jsonencode(local.template)), 0, 8),
  ])

  timeout = "${var.cluster_timeout}m"
}

# Nova's keypairs carry no labels: here the name is the mark.
resource "openstack_compute_keypair_v2" "nodes" {
  name       = "plumbline-${var.environment}"
  public_key = trimspace(var.ssh_public_key)
}

# Keyed by name rather than changed in place: a cluster never sees a change of the template it was made from. Another
# content is another template, to which the cluster is then upgraded, and the old one goes last.
resource "openstack_containerinfra_clustertemplate_v1" "cluster" {
  for_each = { (local.template_name) = local.template }

  name                = each.key
  coe                 = "kubernetes"
  server_type         = "vm"
  image               = each.value.image
  flavor              = each.value.flavor
  master_flavor       = each.value.master_flavor
  external_network_id = each.value.external_network
  fixed_network       = each.value.fixed_network
  fixed_subnet        = each.value.fixed_subnet
  network_driver      = each.value.network_driver
  volume_driver       = each.value.volume_driver
  docker_volume_size  = each.value.docker_volume_size
  master_lb_enabled   = each.value.master_load_balancer
  floating_ip_enabled = each.value.floating_ip
  labels              = each.value.labels

  lifecycle {
    create_before_destroy = true
  }
}

resource "openstack_containerinfra_cluster_v1" "cluster" {
  name                = var.environment
  cluster_template_id = openstack_containerinfra_clustertemplate_v1.cluster[local.template_name].id
  # The keypair's name, not its id: an id not known yet would replace the cluster for a new key.
  keypair        = openstack_compute_keypair_v2.nodes.name
  master_count   = var.masters.count
  master_flavor  = var.masters.flavor
  node_count     = var.nodes.count
  flavor         = var.nodes.flavor
  create_timeout = var.cluster_timeout

  timeouts {
    create = local.timeout
    update = local.timeout
    delete = local.timeout
  }

  lifecycle {
    # It matters while the cluster is made; a new timeout must not replace the cluster.
    ignore_changes = [create_timeout]
  }
}

# Magnum's drivers fail when two groups are made at once, and terraform cannot say "one after another" within a
# for_each: Plumbline runs terraform with -parallelism=1.
resource "openstack_containerinfra_nodegroup_v1" "group" {
  for_each = { for group in var.node_groups : group.name => group }

  cluster_id     = openstack_containerinfra_cluster_v1.cluster.id
  name           = each.key
  flavor_id      = each.value.flavor
  node_count     = each.value.count
  min_node_count = each.value.min
  max_node_count = each.value.max

  timeouts {
    create = local.timeout
    update = local.timeout
    delete = local.timeout
  }
}
