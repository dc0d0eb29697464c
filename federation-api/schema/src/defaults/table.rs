//! The table of defaults: upstream's own, type by type. Nothing here knows how they are applied.
//!
//! Source: k8s.io/kubernetes `pkg/apis/*/v*/defaults.go` and the `+default` marks of k8s.io/api.

use serde_json::{Map, Value};

use super::follow;

/// One default.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The type's name below `io.k8s.api.`, or below `io.k8s.` where it is another package's.
    pub(super) ty: &'static str,
    /// Dotted, from the type down; objects on the way are made.
    pub(super) path: &'static str,
    pub(super) value: Set,
    pub(super) when: When,
    /// Whether the value travels to members: where its absence says something else to people.
    pub(super) stays: bool,
}

/// What is filled in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Set {
    Int(i64),
    Bool(bool),
    Text(&'static str),
    Json(&'static str),
    /// The value at this path from the same type.
    SameAs(&'static str),
    /// What follows from the fields beside it.
    Follows(fn(&Map<String, Value>) -> Option<Value>),
}

/// When it is filled in; paths are from the same type.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    Is(&'static str, &'static str),
    Has(&'static str),
    Lacks(&'static str),
}

const fn rule(ty: &'static str, path: &'static str, value: Set) -> Rule {
    Rule { ty, path, value, when: When::Always, stays: false }
}

const fn int(ty: &'static str, path: &'static str, value: i64) -> Rule {
    rule(ty, path, Set::Int(value))
}

const fn flag(ty: &'static str, path: &'static str, value: bool) -> Rule {
    rule(ty, path, Set::Bool(value))
}

const fn text(ty: &'static str, path: &'static str, value: &'static str) -> Rule {
    rule(ty, path, Set::Text(value))
}

const fn json(ty: &'static str, path: &'static str, value: &'static str) -> Rule {
    rule(ty, path, Set::Json(value))
}

const fn follows(ty: &'static str, path: &'static str, value: fn(&Map<String, Value>) -> Option<Value>) -> Rule {
    rule(ty, path, Set::Follows(value))
}

const fn same(ty: &'static str, path: &'static str, other: &'static str) -> Rule {
    rule(ty, path, Set::SameAs(other))
}

impl Rule {
    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    const fn stays(self) -> Self {
        Self { stays: true, ..self }
    }
}

const ROLLING: When = When::Is("spec.strategy.type", "RollingUpdate");
const ROLLING_UPDATES: When = When::Is("spec.updateStrategy.type", "RollingUpdate");
const LOAD_BALANCER: When = When::Is("spec.type", "LoadBalancer");
const RBAC: &str = "rbac.authorization.k8s.io";
const POLICY_UP: &str =
    r#"[{"periodSeconds":15,"type":"Pods","value":4},{"periodSeconds":15,"type":"Percent","value":100}]"#;
const POLICY_DOWN: &str = r#"[{"periodSeconds":15,"type":"Percent","value":100}]"#;
const HALF_USED: &str =
    r#"[{"resource":{"name":"cpu","target":{"averageUtilization":80,"type":"Utilization"}},"type":"Resource"}]"#;

/// The table; rules of one type are applied in its order.
pub(super) const RULES: &[Rule] = &[
    // Workloads.
    int("apps.v1.Deployment", "spec.replicas", 1),
    text("apps.v1.Deployment", "spec.strategy.type", "RollingUpdate"),
    text("apps.v1.Deployment", "spec.strategy.rollingUpdate.maxUnavailable", "25%").when(ROLLING),
    text("apps.v1.Deployment", "spec.strategy.rollingUpdate.maxSurge", "25%").when(ROLLING),
    int("apps.v1.Deployment", "spec.revisionHistoryLimit", 10),
    int("apps.v1.Deployment", "spec.progressDeadlineSeconds", 600),
    text("apps.v1.DaemonSet", "spec.updateStrategy.type", "RollingUpdate"),
    int("apps.v1.DaemonSet", "spec.updateStrategy.rollingUpdate.maxUnavailable", 1).when(ROLLING_UPDATES),
    int("apps.v1.DaemonSet", "spec.updateStrategy.rollingUpdate.maxSurge", 0).when(ROLLING_UPDATES),
    int("apps.v1.DaemonSet", "spec.revisionHistoryLimit", 10),
    text("apps.v1.StatefulSet", "spec.podManagementPolicy", "OrderedReady"),
    json("apps.v1.StatefulSet", "spec.updateStrategy.rollingUpdate", "{}")
        .when(When::Lacks("spec.updateStrategy.type")),
    text("apps.v1.StatefulSet", "spec.updateStrategy.type", "RollingUpdate"),
    int("apps.v1.RollingUpdateStatefulSetStrategy", "partition", 0),
    int("apps.v1.RollingUpdateStatefulSetStrategy", "maxUnavailable", 1),
    text("apps.v1.StatefulSet", "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain"),
    text("apps.v1.StatefulSet", "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain"),
    int("apps.v1.StatefulSet", "spec.replicas", 1),
    int("apps.v1.StatefulSet", "spec.revisionHistoryLimit", 10),
    int("apps.v1.ReplicaSet", "spec.replicas", 1),
    int("core.v1.ReplicationController", "spec.replicas", 1),
    same("core.v1.ReplicationController", "spec.selector", "spec.template.metadata.labels"),
    same("core.v1.ReplicationController", "metadata.labels", "spec.template.metadata.labels").stays(),
    int("batch.v1.Job", "spec.completions", 1).when(When::Lacks("spec.parallelism")),
    int("batch.v1.Job", "spec.parallelism", 1),
    int("batch.v1.Job", "spec.backoffLimit", 6).when(When::Lacks("spec.backoffLimitPerIndex")),
    int("batch.v1.Job", "spec.backoffLimit", i32::MAX as i64).when(When::Has("spec.backoffLimitPerIndex")),
    same("batch.v1.Job", "metadata.labels", "spec.template.metadata.labels").stays(),
    text("batch.v1.Job", "spec.completionMode", "NonIndexed"),
    flag("batch.v1.Job", "spec.suspend", false),
    text("batch.v1.Job", "spec.podReplacementPolicy", "Failed").when(When::Has("spec.podFailurePolicy")),
    text("batch.v1.Job", "spec.podReplacementPolicy", "TerminatingOrFailed").when(When::Lacks("spec.podFailurePolicy")),
    flag("batch.v1.Job", "spec.manualSelector", false),
    text("batch.v1.CronJob", "spec.concurrencyPolicy", "Allow"),
    flag("batch.v1.CronJob", "spec.suspend", false),
    int("batch.v1.CronJob", "spec.successfulJobsHistoryLimit", 3),
    int("batch.v1.CronJob", "spec.failedJobsHistoryLimit", 1),
    text("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status", "True"),
    // Pods.
    flag("core.v1.Pod", "spec.enableServiceLinks", true),
    same("core.v1.PodSpec", "serviceAccountName", "serviceAccount"),
    same("core.v1.PodSpec", "serviceAccount", "serviceAccountName"),
    text("core.v1.PodSpec", "dnsPolicy", "ClusterFirst"),
    text("core.v1.PodSpec", "restartPolicy", "Always"),
    json("core.v1.PodSpec", "securityContext", "{}"),
    int("core.v1.PodSpec", "terminationGracePeriodSeconds", 30),
    text("core.v1.PodSpec", "schedulerName", "default-scheduler"),
    follows("core.v1.Container", "imagePullPolicy", follow::pull_policy),
    text("core.v1.Container", "terminationMessagePath", "/dev/termination-log"),
    text("core.v1.Container", "terminationMessagePolicy", "File"),
    json("core.v1.Container", "resources", "{}"),
    follows("core.v1.EphemeralContainer", "imagePullPolicy", follow::pull_policy),
    text("core.v1.EphemeralContainer", "terminationMessagePath", "/dev/termination-log"),
    text("core.v1.EphemeralContainer", "terminationMessagePolicy", "File"),
    json("core.v1.EphemeralContainer", "resources", "{}"),
    text("core.v1.ContainerPort", "protocol", "TCP"),
    int("core.v1.Probe", "timeoutSeconds", 1),
    int("core.v1.Probe", "periodSeconds", 10),
    int("core.v1.Probe", "successThreshold", 1),
    int("core.v1.Probe", "failureThreshold", 3),
    text("core.v1.HTTPGetAction", "path", "/"),
    text("core.v1.HTTPGetAction", "scheme", "HTTP"),
    text("core.v1.GRPCAction", "service", ""),
    text("core.v1.ObjectFieldSelector", "apiVersion", "v1"),
    flag("core.v1.FileKeySelector", "optional", false),
    follows("core.v1.PodStatus", "podIPs", follow::addresses).stays(),
    follows("core.v1.PodStatus", "podIP", follow::address).stays(),
    // Volumes.
    follows("core.v1.Volume", "emptyDir", follow::no_source).stays(),
    follows("core.v1.ImageVolumeSource", "pullPolicy", follow::volume_pull_policy),
    int("core.v1.SecretVolumeSource", "defaultMode", 0o644),
    int("core.v1.ConfigMapVolumeSource", "defaultMode", 0o644),
    int("core.v1.DownwardAPIVolumeSource", "defaultMode", 0o644),
    int("core.v1.ProjectedVolumeSource", "defaultMode", 0o644),
    int("core.v1.ServiceAccountTokenProjection", "expirationSeconds", 3600),
    text("core.v1.HostPathVolumeSource", "type", ""),
    text("core.v1.AzureDiskVolumeSource", "cachingMode", "ReadWrite"),
    text("core.v1.AzureDiskVolumeSource", "fsType", "ext4"),
    flag("core.v1.AzureDiskVolumeSource", "readOnly", false),
    text("core.v1.AzureDiskVolumeSource", "kind", "Shared"),
    text("core.v1.ISCSIVolumeSource", "iscsiInterface", "default"),
    text("core.v1.ISCSIPersistentVolumeSource", "iscsiInterface", "default"),
    text("core.v1.RBDVolumeSource", "pool", "rbd"),
    text("core.v1.RBDVolumeSource", "user", "admin"),
    text("core.v1.RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    text("core.v1.RBDPersistentVolumeSource", "pool", "rbd"),
    text("core.v1.RBDPersistentVolumeSource", "user", "admin"),
    text("core.v1.RBDPersistentVolumeSource", "keyring", "/etc/ceph/keyring"),
    text("core.v1.ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    text("core.v1.ScaleIOVolumeSource", "fsType", "xfs"),
    text("core.v1.ScaleIOPersistentVolumeSource", "storageMode", "ThinProvisioned"),
    text("core.v1.ScaleIOPersistentVolumeSource", "fsType", "xfs"),
    text("core.v1.PersistentVolume", "status.phase", "Pending"),
    text("core.v1.PersistentVolume", "spec.persistentVolumeReclaimPolicy", "Retain"),
    text("core.v1.PersistentVolume", "spec.volumeMode", "Filesystem"),
    // Claims inside a StatefulSet name their type as those that stand alone do.
    text("core.v1.PersistentVolumeClaim", "apiVersion", "v1").stays(),
    text("core.v1.PersistentVolumeClaim", "kind", "PersistentVolumeClaim").stays(),
    text("core.v1.PersistentVolumeClaim", "status.phase", "Pending"),
    text("core.v1.PersistentVolumeClaimSpec", "volumeMode", "Filesystem"),
    text("storage.v1.StorageClass", "reclaimPolicy", "Delete"),
    text("storage.v1.StorageClass", "volumeBindingMode", "Immediate"),
    flag("storage.v1.CSIDriver", "spec.attachRequired", true),
    flag("storage.v1.CSIDriver", "spec.podInfoOnMount", false),
    flag("storage.v1.CSIDriver", "spec.storageCapacity", false),
    text("storage.v1.CSIDriver", "spec.fsGroupPolicy", "ReadWriteOnceWithFSType"),
    json("storage.v1.CSIDriver", "spec.volumeLifecycleModes", r#"["Persistent"]"#),
    flag("storage.v1.CSIDriver", "spec.requiresRepublish", false),
    flag("storage.v1.CSIDriver", "spec.seLinuxMount", false),
    flag("storage.v1.CSIDriver", "spec.preventPodSchedulingIfMissing", false),
    // Networks.
    text("core.v1.Service", "spec.sessionAffinity", "None"),
    int("core.v1.Service", "spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10_800)
        .when(When::Is("spec.sessionAffinity", "ClientIP")),
    text("core.v1.Service", "spec.type", "ClusterIP"),
    follows("core.v1.Service", "spec.externalTrafficPolicy", follow::external_policy),
    follows("core.v1.Service", "spec.internalTrafficPolicy", follow::internal_policy),
    flag("core.v1.Service", "spec.allocateLoadBalancerNodePorts", true).when(LOAD_BALANCER),
    text("core.v1.ServicePort", "protocol", "TCP"),
    same("core.v1.ServicePort", "targetPort", "port"),
    text("core.v1.LoadBalancerIngress", "ipMode", "VIP").when(When::Has("ip")),
    text("core.v1.EndpointPort", "protocol", "TCP"),
    text("discovery.v1.EndpointPort", "name", ""),
    text("discovery.v1.EndpointPort", "protocol", "TCP"),
    text("networking.v1.NetworkPolicyPort", "protocol", "TCP"),
    follows("networking.v1.NetworkPolicy", "spec.policyTypes", follow::policy_types),
    text("networking.v1.IngressClass", "spec.parameters.scope", "Cluster").when(When::Has("spec.parameters")),
    // Everything else.
    text("core.v1.Secret", "type", "Opaque"),
    same("core.v1.NodeStatus", "allocatable", "capacity"),
    text("core.v1.NamespaceStatus", "phase", "Active"),
    int("autoscaling.v2.HorizontalPodAutoscaler", "spec.minReplicas", 1),
    json("autoscaling.v2.HorizontalPodAutoscaler", "spec.metrics", HALF_USED),
    text("autoscaling.v2.HorizontalPodAutoscalerBehavior", "scaleUp.selectPolicy", "Max"),
    int("autoscaling.v2.HorizontalPodAutoscalerBehavior", "scaleUp.stabilizationWindowSeconds", 0),
    json("autoscaling.v2.HorizontalPodAutoscalerBehavior", "scaleUp.policies", POLICY_UP),
    text("autoscaling.v2.HorizontalPodAutoscalerBehavior", "scaleDown.selectPolicy", "Max"),
    json("autoscaling.v2.HorizontalPodAutoscalerBehavior", "scaleDown.policies", POLICY_DOWN),
    text("rbac.v1.ClusterRoleBinding", "roleRef.apiGroup", RBAC),
    text("rbac.v1.RoleBinding", "roleRef.apiGroup", RBAC),
    text("rbac.v1.Subject", "apiGroup", RBAC).when(When::Is("kind", "User")).stays(),
    text("rbac.v1.Subject", "apiGroup", RBAC).when(When::Is("kind", "Group")).stays(),
    text("scheduling.v1.PriorityClass", "preemptionPolicy", "PreemptLowerPriority"),
    text("admissionregistration.v1.ValidatingWebhook", "failurePolicy", "Fail"),
    text("admissionregistration.v1.ValidatingWebhook", "matchPolicy", "Equivalent"),
    json("admissionregistration.v1.ValidatingWebhook", "namespaceSelector", "{}"),
    json("admissionregistration.v1.ValidatingWebhook", "objectSelector", "{}"),
    int("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds", 10),
    text("admissionregistration.v1.MutatingWebhook", "failurePolicy", "Fail"),
    text("admissionregistration.v1.MutatingWebhook", "matchPolicy", "Equivalent"),
    json("admissionregistration.v1.MutatingWebhook", "namespaceSelector", "{}"),
    json("admissionregistration.v1.MutatingWebhook", "objectSelector", "{}"),
    int("admissionregistration.v1.MutatingWebhook", "timeoutSeconds", 10),
    text("admissionregistration.v1.MutatingWebhook", "reinvocationPolicy", "Never"),
    text("admissionregistration.v1.RuleWithOperations", "scope", "*"),
    text("admissionregistration.v1.NamedRuleWithOperations", "scope", "*"),
    int("admissionregistration.v1.ServiceReference", "port", 443),
    int("kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference", "port", 443),
    text("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", "Fail"),
    text("admissionregistration.v1.MutatingAdmissionPolicySpec", "failurePolicy", "Fail"),
    text("admissionregistration.v1.MatchResources", "matchPolicy", "Equivalent"),
    json("admissionregistration.v1.MatchResources", "namespaceSelector", "{}"),
    json("admissionregistration.v1.MatchResources", "objectSelector", "{}"),
    int("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence", 1000),
    int("flowcontrol.v1.ExemptPriorityLevelConfiguration", "nominalConcurrencyShares", 0),
    int("flowcontrol.v1.ExemptPriorityLevelConfiguration", "lendablePercent", 0),
    int("flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares", 30),
    int("flowcontrol.v1.LimitedPriorityLevelConfiguration", "lendablePercent", 0),
    int("flowcontrol.v1.QueuingConfiguration", "handSize", 8),
    int("flowcontrol.v1.QueuingConfiguration", "queues", 64),
    int("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit", 50),
    text("resource.v1.ExactDeviceRequest", "allocationMode", "ExactCount"),
    int("resource.v1.ExactDeviceRequest", "count", 1).when(When::Is("allocationMode", "ExactCount")),
    text("resource.v1.DeviceSubRequest", "allocationMode", "ExactCount"),
    int("resource.v1.DeviceSubRequest", "count", 1).when(When::Is("allocationMode", "ExactCount")),
];
