//! What our own kinds mean, field by field, for `kubectl explain`.
//!
//! Kubernetes' own kinds have no words here: every client has them. What all kinds share has: clients look there for the
//! metadata of custom kinds. What a value may be is the table of kinds' business.

mod meta;

/// A type and its fields.
pub(super) struct Words {
    name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) fields: &'static [(&'static str, &'static str)],
}

/// The words for a type; none where it is neither ours nor everybody's.
pub(super) fn of(name: &str) -> Option<&'static Words> {
    if name == meta::OBJECT.name {
        return Some(&meta::OBJECT);
    }
    let name = name.strip_prefix("dev.fedgate.v1alpha1.")?;
    WORDS.iter().find(|words| words.name == name)
}

const fn words(name: &'static str, meaning: &'static str, fields: &'static [(&'static str, &'static str)]) -> Words {
    Words { name, meaning, fields }
}

const ALL_CONTAINERS: &str = "Name of the container; empty means every container.";
const CONDITIONS: &str = "What holds and what does not, with the reason.";
const ON_DELETE: &str = "What becomes of the copies in members when the template is deleted or a cluster is no longer \
    chosen: Delete (default) takes them away, Orphan leaves them there without our labels.";
const CONFLICT: &str = "What happens where a member has an object of that name which is not ours: Fail (default) leaves \
    it alone and says so, Adopt takes it over if nobody else manages a field differently, Overwrite takes it over.";
const SELECT: &str = "Which templates this is about; one match is enough.";
const EXECUTOR: &str = "Identity that writes to members impersonate; empty means the Cluster's.";

const WORDS: &[Words] = &[
    words(
        "Placement",
        "Says on which member clusters templates of its namespace run, and with how many replicas.",
        &[("spec", "The policy."), ("status", "What does not resolve.")],
    ),
    words(
        "ClusterPlacement",
        "Says on which member clusters templates of any namespace run, and with how many replicas.",
        &[("spec", "The policy."), ("status", "What does not resolve.")],
    ),
    words(
        "PlacementSpec",
        "A policy. An annotation on the template comes before it; of several policies the one of the highest priority \
         wins, then the one that selects more exactly (name, labels, kind).",
        &[
            ("select", SELECT),
            ("priority", "Higher wins. Default 0."),
            (
                "clusters",
                "Groups of clusters in order: the next group is used only where the one before does not fit. \
                 None means every cluster.",
            ),
            ("tolerations", "Taints of clusters that the templates tolerate."),
            ("spread", "Over how many different regions, zones, providers, label values or clusters to spread."),
            ("replicas", "How replicas are shared out. Without it they are divided evenly."),
            (
                "dependencies",
                "Follow (default) places the ConfigMaps, Secrets, claims and service accounts that a template names \
                 where the template goes; Ignore does not.",
            ),
            ("conflict", CONFLICT),
            ("onDelete", ON_DELETE),
            ("failover", "Not supported yet: a policy with it places nothing and says so in its status."),
            ("suspend", "While true nothing changes in members: no update, no new copy, no deletion."),
            ("executor", EXECUTOR),
        ],
    ),
    words("PlacementStatus", "What the policy asks for and is not there.", &[("conditions", CONDITIONS)]),
    words(
        "TemplateSelector",
        "Selects templates by kind, and by name or labels where they are given.",
        &[
            ("apiVersion", "For example apps/v1; the version does not matter, the group does."),
            ("kind", "For example Deployment."),
            ("namespace", "Only templates of this namespace; empty means all that the policy may reach."),
            ("name", "Only the template of this name; empty means all."),
            ("labelSelector", "Only templates with these labels."),
        ],
    ),
    words(
        "ClusterSelector",
        "Selects clusters: each field that is given must match. An empty one selects every cluster.",
        &[
            ("names", "Names or globs, such as eu-*."),
            ("exclude", "Names or globs of clusters that are never selected."),
            ("labelSelector", "Labels of the Cluster objects."),
            ("regions", "One of these is the cluster's spec.region."),
            ("zones", "One of these is among the cluster's spec.zones."),
            ("providers", "One of these is the cluster's spec.provider."),
        ],
    ),
    words(
        "Toleration",
        "Tolerates a taint of clusters, as a pod tolerates one of nodes.",
        &[
            ("key", "Key of the taint; empty with operator Exists means every key."),
            ("operator", "Equal (default) compares the value, Exists does not."),
            ("value", "Value of the taint, with operator Equal."),
            ("effect", "Effect of the taint; empty means every effect."),
        ],
    ),
    words(
        "Spread",
        "At least min and at most max different values of by.",
        &[
            ("by", "cluster, region, zone, provider or label:KEY."),
            ("min", "Fewer than this many are an error, and nothing changes."),
            ("max", "No more than this many are used; 0 means no limit."),
        ],
    ),
    words(
        "Replicas",
        "How replicas are shared out among the chosen clusters.",
        &[
            (
                "mode",
                "Divided (default) shares the template's replicas out, Duplicated runs all of them in each cluster.",
            ),
            ("divide", "Weighted (default) divides by weight, Aggregated fills as few clusters as possible."),
            ("weights", "Weights of clusters; the first that matches counts. A cluster without one weighs 1."),
            ("dynamic", "AvailableReplicas: clusters weigh as many replicas as they have room for."),
            ("min", "Cluster name to the fewest replicas it gets."),
            ("max", "Cluster name to the most replicas it gets."),
        ],
    ),
    words(
        "Weight",
        "The weight of each cluster that the selector matches.",
        &[("clusters", "Which clusters."), ("weight", "Share relative to the others; 0 gets nothing.")],
    ),
    words(
        "Failover",
        "When a lost cluster's replicas go elsewhere; not supported yet.",
        &[("after", "A duration such as 5m."), ("return", "A duration such as 10m.")],
    ),
    words(
        "Override",
        "Changes templates of its namespace on their way to single clusters.",
        &[("spec", "Which templates, and what changes where."), ("status", "Has nothing to say yet.")],
    ),
    words(
        "ClusterOverride",
        "Changes templates of any namespace on their way to single clusters; applied before Overrides.",
        &[("spec", "Which templates, and what changes where."), ("status", "Has nothing to say yet.")],
    ),
    words(
        "OverrideSpec",
        "Which templates, and what changes where.",
        &[("select", SELECT), ("rules", "Changes, applied in order.")],
    ),
    words("OverrideStatus", "Has nothing to say yet.", &[("conditions", CONDITIONS)]),
    words(
        "IngressParameters",
        "What Ingresses of a class get whose own annotations do not say otherwise; spec.parameters of an IngressClass names it.",
        &[("spec", "The defaults.")],
    ),
    words("ClusterIngressParameters", "The same for the whole cluster.", &[("spec", "The defaults.")]),
    words(
        "IngressParametersSpec",
        "The defaults.",
        &[("defaults", "Annotations of an Ingress by name without prefix, such as proxy-read-timeout, to values.")],
    ),
    words(
        "Rule",
        "Changes for the clusters that match. Typed changes come first, patches last.",
        &[
            ("clusters", "Where; without it everywhere."),
            ("image", "Replaces parts of images."),
            ("env", "Sets and removes environment variables."),
            ("command", "Appends words to, or removes words from, the command."),
            ("args", "Appends words to, or removes words from, the arguments."),
            ("labels", "Sets and removes labels of the object."),
            ("annotations", "Sets and removes annotations of the object."),
            ("jsonPatch", "A JSON patch (RFC 6902) of the whole object."),
            ("mergePatch", "A JSON merge patch (RFC 7396) of the whole object."),
        ],
    ),
    words(
        "ImageRule",
        "Replaces the parts of an image reference that are given.",
        &[
            ("container", ALL_CONTAINERS),
            ("registry", "For example registry.example.com."),
            ("repository", "For example team/web."),
            ("tag", "For example 1.2."),
            ("digest", "For example sha256:..., instead of a tag."),
        ],
    ),
    words(
        "EnvRule",
        "Sets and removes environment variables.",
        &[("container", ALL_CONTAINERS), ("set", "Name to value."), ("remove", "Names.")],
    ),
    words(
        "WordsRule",
        "Appends and removes words of a container's command or arguments.",
        &[("container", ALL_CONTAINERS), ("append", "Words put at the end."), ("remove", "Words taken out.")],
    ),
    words("KeysRule", "Sets and removes labels or annotations.", &[("set", "Key to value."), ("remove", "Keys.")]),
    words(
        "PatchOperation",
        "An operation of a JSON patch (RFC 6902).",
        &[
            ("op", "What is done."),
            ("path", "JSON pointer to where it is done, such as /spec/replicas."),
            ("from", "JSON pointer to where move and copy take the value."),
            ("value", "The value of add, replace and test."),
        ],
    ),
    words(
        "Cluster",
        "A member cluster. `fedgate cluster add` makes one.",
        &[("spec", "What the user says of the member."), ("status", "What the hub sees of it.")],
    ),
    words(
        "ClusterSpec",
        "What the user says of a member.",
        &[
            ("server", "https://HOST:PORT of the member's API server, as the hub reaches it."),
            ("caBundle", "Certificates (PEM) that the API server's certificate is checked against."),
            ("credentialsRef", "The Secret with the credentials of the hub in the member."),
            ("region", "Where the member is; policies select and spread by it."),
            ("zones", "The zones that the member covers."),
            ("provider", "Who runs the member; policies select and spread by it."),
            ("taints", "Keep templates away that do not tolerate them."),
            ("executor", "Identity that writes to this member impersonate; empty means the default executor."),
        ],
    ),
    words(
        "CredentialsRef",
        "Names a Secret of type fedgate.dev/cluster-credentials in the namespace fedgate-system.",
        &[("name", "Name of the Secret.")],
    ),
    words(
        "Taint",
        "Keeps templates without a matching toleration away.",
        &[
            ("key", "What the taint is called."),
            ("value", "A value that a toleration may compare with."),
            ("effect", "NoSchedule keeps new copies away, NoExecute takes those away that are there."),
        ],
    ),
    words(
        "ClusterStatus",
        "What the hub sees of a member.",
        &[
            ("uid", "UID of the member's namespace kube-system: the identity of the cluster."),
            ("version", "Kubernetes version of the member's API server."),
            ("conditions", CONDITIONS),
            ("capacity", "What the ready nodes offer to pods, summed up."),
            ("requested", "What the running pods request, summed up."),
            ("nodes", "How many nodes there are."),
        ],
    ),
    words("NodeCount", "How many nodes a member has.", &[("total", "All nodes."), ("ready", "Nodes that are Ready.")]),
    words(
        "PlacementBinding",
        "The stored decision where a template runs, and what became of it. Written by fedgate alone.",
        &[("spec", "The decision."), ("status", "What became of it.")],
    ),
    words(
        "PlacementBindingSpec",
        "Where a template runs.",
        &[
            ("template", "The template."),
            ("placement", "The policy that won."),
            ("clusters", "The clusters, with their replicas."),
            ("unschedulable", "Why there are fewer clusters or replicas than asked for; empty where all fits."),
            ("epoch", "Raised with every change."),
            ("onDelete", ON_DELETE),
            ("conflict", CONFLICT),
            ("executor", EXECUTOR),
        ],
    ),
    words(
        "TemplateRef",
        "Names a template exactly.",
        &[
            ("apiVersion", "Group and version of the template."),
            ("kind", "Kind of the template."),
            ("namespace", "Namespace of the template; empty where its kind has none."),
            ("name", "Name of the template."),
            ("uid", "UID of the template."),
            ("generation", "Generation of the template that was decided on."),
        ],
    ),
    words(
        "PlacementRef",
        "Names the policy that won.",
        &[("kind", "Placement, ClusterPlacement, Annotation, Namespace or Default."), ("name", "Name of the policy.")],
    ),
    words(
        "BindingCluster",
        "A cluster that runs the template.",
        &[
            ("name", "Name of the Cluster."),
            ("replicas", "Its share of the replicas; absent where the kind has none."),
            ("withdraw", "The copy there is to go; the row stays until it is gone."),
            ("hold", "The copy there stays as it is: who changed the template last may not act on this cluster."),
        ],
    ),
    words(
        "PlacementBindingStatus",
        "What became of the decision.",
        &[("conditions", CONDITIONS), ("clusters", "The state of each copy.")],
    ),
    words(
        "BindingClusterStatus",
        "The state of one copy.",
        &[
            ("name", "Name of the Cluster."),
            ("phase", "How far the copy is."),
            ("appliedGeneration", "Generation of the template that was applied last."),
            ("appliedHash", "Hash of the manifest that was applied last."),
            ("ownedHash", "Hash of the fields that we own there; another one means that somebody took one over."),
            ("uid", "UID of the object in the member."),
            ("status", "What the member's object says of itself."),
            ("message", "Why the phase is what it is."),
            ("observedAt", "When this was last seen to change."),
        ],
    ),
];
