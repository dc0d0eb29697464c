//! Every kind that has columns of its own, by group.

use super::{Layout, autoscale, core, eviction, network, node, ours, pod, policy, schedule, storage, workload};

macro_rules! layouts {
    ($($group:literal { $($kind:literal $columns:literal $cells:path;)* })*) => {
        &[$($(Layout { group: $group, kind: $kind, columns: $columns, cells: $cells },)*)*]
    };
}

#[rustfmt::skip]
pub(super) static ALL: &[Layout] = layouts! {
    "" {
        "ComponentStatus" "Name#|Status|Message|Error" node::component_status;
        "ConfigMap" "Name#|Data|Age" core::config_map;
        "Endpoints" "Name#|Endpoints|Age" network::endpoints;
        "Event" "Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*#" core::event;
        "Namespace" "Name#|Status|Age" core::namespace;
        "Node" "Name#|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*" node::node;
        "PersistentVolume" "Name#|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|VolumeMode*" storage::volume;
        "PersistentVolumeClaim" "Name#|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*" storage::claim;
        "Pod" "Name#|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*" pod::pod;
        "PodTemplate" "Name#|Containers|Images|Pod Labels" pod::template;
        "ReplicationController" "Name#|Desired:integer|Current:integer|Ready:integer|Age|Containers*|Images*|Selector*" workload::replication_controller;
        "ResourceQuota" "Name#|Request|Limit|Age" core::quota;
        "Secret" "Name#|Type|Data|Age" core::secret;
        "Service" "Name#|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*" network::service;
        "ServiceAccount" "Name#|Age" core::name_age;
    }
    "admissionregistration.k8s.io" {
        "MutatingAdmissionPolicy" "Name#|Mutations:integer|ParamKind|Age" policy::mutating_policy;
        "MutatingAdmissionPolicyBinding" "Name#|PolicyName|ParamRef|Age" policy::policy_binding;
        "MutatingWebhookConfiguration" "Name#|Webhooks:integer|Age" policy::webhooks;
        "ValidatingAdmissionPolicy" "Name#|Validations:integer|ParamKind|Age" policy::validating_policy;
        "ValidatingAdmissionPolicyBinding" "Name#|PolicyName|ParamRef|Age" policy::policy_binding;
        "ValidatingWebhookConfiguration" "Name#|Webhooks:integer|Age" policy::webhooks;
    }
    "apiregistration.k8s.io" {
        "APIService" "Name#|Service|Available|Age" core::api_service;
    }
    "apps" {
        "ControllerRevision" "Name#|Controller|Revision|Age" workload::revision;
        "DaemonSet" "Name#|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer|Node Selector|Age|Containers*|Images*|Selector*" workload::daemon_set;
        "Deployment" "Name#|Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*" workload::deployment;
        "ReplicaSet" "Name#|Desired:integer|Current:integer|Ready:integer|Age|Containers*|Images*|Selector*" workload::replica_set;
        "StatefulSet" "Name#|Ready|Age|Containers*|Images*" workload::stateful_set;
    }
    "autoscaling" {
        "HorizontalPodAutoscaler" "Name#|Reference|Targets|MinPods|MaxPods|Replicas|Age" autoscale::autoscaler;
        "Scale" "Name|Desired:integer|Available:integer|Age" autoscale::scale;
    }
    "batch" {
        "CronJob" "Name#|Schedule|Timezone|Suspend:boolean|Active:integer|Last Schedule|Age|Containers*|Images*|Selector*" workload::cron_job;
        "Job" "Name#|Status|Completions|Duration|Age|Containers*|Images*|Selector*" workload::job;
    }
    "certificates.k8s.io" {
        "CertificateSigningRequest" "Name#|Age|SignerName|Requestor|RequestedDuration|Condition" policy::signing_request;
        "ClusterTrustBundle" "Name#|SignerName" policy::trust_bundle;
        "PodCertificateRequest" "Name#|PodName|ServiceAccountName|NodeName|SignerName|State|UnverifiedUserAnnotations" policy::pod_certificate;
    }
    "coordination.k8s.io" {
        "Lease" "Name#|Holder|Age" core::lease;
        "LeaseCandidate" "Name#|LeaseName|BinaryVersion|EmulationVersion|Age" core::lease_candidate;
    }
    "discovery.k8s.io" {
        "EndpointSlice" "Name#|AddressType|Ports|Endpoints|Age" network::endpoint_slice;
    }
    "events.k8s.io" {
        "Event" "Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*#" core::event;
    }
    "fedgate.dev" {
        "Cluster" "Name#|Ready|Version|Region|Nodes|Age|Zones*|Provider*|Server*|CPU*|Memory*" ours::member;
        "ClusterIngressParameters" "Name#|Defaults:integer|Age" ours::ingress_parameters;
        "ClusterOverride" "Name#|Select|Rules:integer|Age" ours::overrides;
        "ClusterPlacement" "Name#|Select|Clusters|Replicas|Priority:integer|Age" ours::placement;
        "IngressParameters" "Name#|Defaults:integer|Age" ours::ingress_parameters;
        "Override" "Name#|Select|Rules:integer|Age" ours::overrides;
        "Placement" "Name#|Select|Clusters|Replicas|Priority:integer|Age" ours::placement;
        "PlacementBinding" "Name#|Template|Clusters|Applied|Age|Placement*|Unschedulable*|Epoch:integer*" ours::binding;
    }
    "flowcontrol.apiserver.k8s.io" {
        "FlowSchema" "Name#|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL" policy::flow_schema;
        "PriorityLevelConfiguration" "Name#|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age" policy::priority_level;
    }
    "internal.apiserver.k8s.io" {
        "StorageVersion" "Name#|CommonEncodingVersion|StorageVersions|Age" core::storage_version;
    }
    "lifecycle.k8s.io" {
        "Eviction" "Name#|Target|Target Type|Status|Active Responder|Responder Status|Responder Expected Finish|Requesters|Age|Responder Heartbeat*|Responder Status Message*" eviction::eviction;
        "EvictionRequest" "Name#|Target|Target Type|Status|Requester|Intent|Age" eviction::request;
    }
    "networking.k8s.io" {
        "IPAddress" "Name#|ParentRef|Age" network::ip_address;
        "Ingress" "Name#|Class|Hosts|Address|Ports|Age" network::ingress;
        "IngressClass" "Name#|Controller|Parameters|Age" network::ingress_class;
        "NetworkPolicy" "Name#|Pod-Selector|Age" network::network_policy;
        "ServiceCIDR" "Name#|CIDRs|Age" network::service_cidr;
    }
    "node.k8s.io" {
        "RuntimeClass" "Name#|Handler|Age" node::runtime_class;
    }
    "policy" {
        "PodDisruptionBudget" "Name#|Min Available|Max Unavailable|Allowed Disruptions:integer|Age" policy::disruption_budget;
    }
    "rbac.authorization.k8s.io" {
        "ClusterRoleBinding" "Name#|Role|Age|Users*|Groups*|ServiceAccounts*" policy::role_binding;
        "RoleBinding" "Name#|Role|Age|Users*|Groups*|ServiceAccounts*" policy::role_binding;
    }
    "resource.k8s.io" {
        "DeviceClass" "Name#|Age" core::name_age;
        "DeviceTaintRule" "Name#|Key|Value|Effect|TimeAdded|Age" schedule::device_taint;
        "ResourceClaim" "Name#|State|Age" schedule::resource_claim;
        "ResourceClaimTemplate" "Name#|Age" core::name_age;
        "ResourcePoolStatusRequest" "Name#|Driver|Total|Available|Allocated|Unavailable|Errors|Pools:integer|Status|Completed" schedule::pool_status;
        "ResourceSlice" "Name#|Node|Driver|Pool|Age" schedule::resource_slice;
    }
    "scheduling.k8s.io" {
        "CompositePodGroup" "Name#|Policy|Workload|Age" schedule::composite_group;
        "PodGroup" "Name#|Policy|Workload|Status|Age" schedule::pod_group;
        "PriorityClass" "Name#|Value:integer|Global-Default:boolean|Age|PreemptionPolicy" schedule::priority_class;
        "Workload" "Name#|Age" core::name_age;
    }
    "storage.k8s.io" {
        "CSIDriver" "Name#|AttachRequired:boolean|PodInfoOnMount:boolean|StorageCapacity:boolean|TokenRequests|RequiresRepublish:boolean|Modes|Age" storage::driver;
        "CSINode" "Name#|Drivers:integer|Age" storage::csi_node;
        "CSIStorageCapacity" "Name#|StorageClassName|Capacity" storage::capacity;
        "StorageClass" "Name#|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age" storage::class;
        "VolumeAttachment" "Name#|Attacher#|PV|Node|Attached:boolean|Age" storage::attachment;
        "VolumeAttributesClass" "Name#|DriverName|Age" storage::attributes_class;
    }
    "storagemigration.k8s.io" {
        "StorageVersionMigration" "Name|Resource|Status" storage::migration;
    }
};
