# Nothing secret: the cluster's kubeconfig attribute stays in the state. Plumbline mints kubeconfigs from Magnum.

output "cluster_id" {
  description = "Magnum's id of the cluster."
  value       = openstack_containerinfra_cluster_v1.cluster.id
}

output "api_address" {
  description = "URL of the Kubernetes API."
  value       = openstack_containerinfra_cluster_v1.cluster.api_address
}

output "template_id" {
  description = "Magnum's id of the cluster template."
  value       = openstack_containerinfra_clustertemplate_v1.cluster[local.template_name].id
}

output "template_name" {
  description = "Name of the cluster template: environment, version, and a hash of its content."
  value       = local.template_name
}

output "keypair_name" {
  description = "Name of the nodes' keypair."
  value       = openstack_compute_keypair_v2.nodes.name
}

output "node_group_ids" {
  description = "Ids of the node groups beside the default ones, by name."
  value       = { for name, group in openstack_containerinfra_nodegroup_v1.group : name => group.id }
}
