//! The committed table says what Kubernetes says.

use std::time::Instant;

use super::{Facts, FactsBuilder, FactsError, Field, Group, ListType, Patch, Shape, Struct, Text, TypeId, kubernetes};

fn list_of<'a>(facts: &'a Facts, ty: &str, field: &str) -> &'a ListType {
    let ty = facts.type_named(ty).expect(ty);
    match facts.shape(facts.field(ty, field).expect(field).ty) {
        Shape::List(list) => &list.kind,
        other => panic!("{field} is {other:?}"),
    }
}

#[test]
fn the_table_knows_deployments() {
    let facts = kubernetes();
    let deployment = facts.resource("apps", "v1", "deployments").expect("served");
    assert_eq!(
        (&*deployment.kind, &*deployment.list_kind, &*deployment.singular),
        ("Deployment", "DeploymentList", "deployment")
    );
    assert!(deployment.namespaced && deployment.has_verb("deletecollection"));
    assert_eq!(deployment.short_names.to_vec(), ["deploy"]);
    let scale = deployment.subresource("scale").expect("scalable");
    assert_eq!((&*scale.group, &*scale.version, &*scale.kind), ("autoscaling", "v1", "Scale"));
    let spec = facts.field(deployment.ty, "spec").expect("spec");
    assert_eq!((spec.tag, spec.required, spec.nillable, &*spec.default), (2, true, false, "{}"));
    let replicas = facts.field(spec.ty, "replicas").expect("replicas");
    assert!(matches!(facts.shape(replicas.ty), Shape::Int32) && replicas.nillable);
    assert!(facts.field(spec.ty, "strategy").expect("strategy").patch.retain_keys);
    assert_eq!(facts.by_kind("apps", "v1", "Deployment").expect("by kind").plural, "deployments");
    assert!(facts.resource("apps", "v1", "nothing").is_none());
    assert_eq!(deployment.api_version(), "apps/v1");
    assert_eq!(facts.version(), "v1.37.2");
}

#[test]
fn lists_carry_both_of_their_keys() {
    let facts = kubernetes();
    let ports = list_of(facts, "io.k8s.api.core.v1.Container", "ports");
    assert_eq!(*ports, ListType::Map(Box::new(["containerPort".into(), "protocol".into()])));
    let container = facts.type_named("io.k8s.api.core.v1.Container").expect("known");
    let patch = Patch { merge: true, merge_key: "containerPort".into(), ..Patch::default() };
    assert_eq!(facts.field(container, "ports").expect("ports").patch, patch);
    assert_eq!(*list_of(facts, "io.k8s.api.core.v1.Container", "command"), ListType::Atomic);
    assert_eq!(*list_of(facts, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"), ListType::Set);
    let port = facts.type_named("io.k8s.api.core.v1.ContainerPort").expect("known");
    assert_eq!(facts.field(port, "protocol").expect("protocol").default, "\"TCP\"");
}

#[test]
fn what_go_inlines_is_nested_in_protobuf_only() {
    let facts = kubernetes();
    let volume = facts.type_named("io.k8s.api.core.v1.Volume").expect("known");
    assert_eq!(facts.field(volume, "configMap").expect("inlined").tag, 0);
    let Shape::Struct(shape) = facts.shape(volume) else { panic!("a struct") };
    let (tag, source) = shape.inline[0];
    assert_eq!((tag, &*facts.ty(source).name), (2, "io.k8s.api.core.v1.VolumeSource"));
    assert_eq!(facts.field(source, "configMap").expect("tagged").tag, 19);
}

#[test]
fn our_kinds_are_nothing_special() {
    let facts = kubernetes();
    let cluster = facts.resource("fedgate.dev", "v1alpha1", "clusters").expect("served");
    assert!(!cluster.namespaced && cluster.subresource("status").is_some());
    let taint = facts.type_named("dev.fedgate.v1alpha1.Taint").expect("known");
    assert_eq!(facts.field(taint, "effect").expect("effect").one_of.to_vec(), ["NoSchedule", "NoExecute"]);
}

#[test]
fn groups_come_in_the_order_of_discovery() {
    let groups = kubernetes().groups();
    assert_eq!((&*groups[0].name, &*groups[1].name), ("", "apiregistration.k8s.io"));
    assert_eq!(groups.last().expect("ours").name, "fedgate.dev");
    let autoscaling = groups.iter().find(|group| group.name == "autoscaling").expect("served");
    assert_eq!(autoscaling.versions.to_vec(), ["v2", "v1"]);
}

#[test]
fn a_layer_adds_to_what_is_below() {
    let mut builder = FactsBuilder::above(kubernetes());
    let strings = builder.map(TypeId::STRING, false);
    let meta = builder.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let field = |name: &'static str, ty| Field {
        name: Text::Borrowed(name),
        tag: 0,
        ty,
        required: false,
        nillable: false,
        default: Text::Borrowed(""),
        patch: Patch::default(),
        one_of: Box::default(),
    };
    let fields = vec![field("spec", strings), field("metadata", meta)];
    let object = Struct { fields: fields.into(), ..Struct::default() };
    let name = format!("io.example.v1.{}", "Widget");
    builder.define(name, Shape::Struct(object)).expect("new");
    builder.group(Group { name: "example.io".into(), versions: Box::new(["v1".into()]) });
    let facts = builder.build().expect("complete");
    let widget = facts.type_named("io.example.v1.Widget").expect("layered");
    assert!(matches!(facts.shape(facts.field(widget, "spec").expect("spec").ty), Shape::Map { .. }));
    assert!(facts.field(facts.field(widget, "metadata").expect("metadata").ty, "name").is_some());
    assert!(facts.resource("apps", "v1", "deployments").is_some());
    assert_eq!(facts.groups().last().expect("own").name, "example.io");
}

#[test]
fn a_gap_is_found_at_the_end() {
    let mut builder = FactsBuilder::new("v0");
    builder.named("io.example.Missing");
    assert_eq!(builder.build().expect_err("a gap"), FactsError::Undefined("io.example.Missing".to_owned()));
}

#[test]
fn bad_lines_are_named() {
    for (text, problem) in [
        ("x", "line 1: unknown kind of line \"x\""),
        ("p core io.core\nt core.Pod\n name x s", "line 3: \"x\" is no tag"),
        ("t core.Pod", "line 1: unknown package \"core\""),
        ("p core io.core\nt core.Pod\n name 1 s ?", "line 3: unknown mark \"?\""),
        ("g", "line 1: the line ends too early"),
    ] {
        assert_eq!(super::parse::table(text).expect_err(text).to_string(), problem);
    }
}

#[test]
fn the_table_is_cheap() {
    let start = Instant::now();
    let facts = super::parse::table(super::TABLE).expect("parses");
    let took = start.elapsed();
    eprintln!("{} types in {took:?}", facts.types.len());
    let fields: usize = facts
        .types
        .iter()
        .map(|ty| match &ty.shape {
            Shape::Struct(object) => object.fields.len(),
            _ => 0,
        })
        .sum();
    let bytes = fields * size_of::<Field>() + facts.types.len() * size_of::<super::Type>();
    eprintln!("{fields} fields, about {bytes} bytes");
    assert!(bytes < 2_500_000, "{bytes}");
}
