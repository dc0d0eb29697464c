//! A custom kind on real members: its definition goes ahead, its objects follow, and both leave together.

use anyhow::{Result, ensure};

use super::super::journey::Journey;
use super::super::wait::{same, until};
use super::{SOON, fed, feed, gone};
use crate::invoke;

const DEFINITION: &str = "crd/coupons.shop.example";

/// The definition, and an object of it.
const MANIFESTS: [&str; 2] = [
    "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: coupons.shop.example, annotations: {fedgate.dev/clusters: \"*\"}}
spec:
  group: shop.example
  scope: Namespaced
  names: {plural: coupons, kind: Coupon}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {percent: {type: integer, maximum: 100}}}}
",
    "apiVersion: shop.example/v1
kind: Coupon
metadata: {name: spring, namespace: shop, annotations: {fedgate.dev/clusters: \"*\"}}
spec: {percent: 10}
",
];

pub fn arrives(journey: &mut Journey) -> Result<()> {
    let [definition, object] = MANIFESTS;
    feed(journey, "apply -f -", definition)?;
    invoke::read(&mut journey.hub_kubectl(&format!("wait --for=condition=Established {DEFINITION} --timeout=60s")))?;
    feed(journey, "apply -f -", object)?;
    for name in journey.names() {
        until(&name, SOON, || {
            let coupon = journey.member_get(&name, "coupon spring -n shop")?;
            same("spec.percent", coupon["spec"]["percent"].as_i64(), Some(10))
        })?;
    }
    Ok(())
}

/// The hub's account may add kinds to its roles there, and nothing wider: the members' policy refuses it.
pub fn is_guarded(journey: &mut Journey) -> Result<()> {
    const WIDE: &str = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "fedgate:hub:custom"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}"#;
    let line = "replace -f - --as=system:serviceaccount:fedgate-system:fedgate-hub";
    for name in journey.names() {
        let outcome = fed(&mut journey.member_kubectl(&name, line), WIDE)?;
        let said = invoke::transcript(&outcome);
        ensure!(!outcome.status.success() && said.contains("single custom kinds"), "{name} allowed it: {said}");
    }
    Ok(())
}

/// A definition that never had an object leaves as well: the hub has to be let in to see that there is none.
pub fn leaves_without_objects(journey: &mut Journey) -> Result<()> {
    feed(journey, "apply -f -", MANIFESTS[0])?;
    for name in journey.names() {
        until(&name, SOON, || journey.member_get(&name, DEFINITION).map(|_| ()))?;
    }
    leaves(journey)
}

pub fn leaves(journey: &mut Journey) -> Result<()> {
    invoke::read(&mut journey.hub_kubectl(&format!("delete {DEFINITION} --timeout=60s")))?;
    for name in journey.names() {
        until(&name, SOON, || gone(journey, &name, DEFINITION))?;
        let role = journey.member_get(&name, "clusterrole fedgate:executor:custom")?;
        ensure!(role["rules"].as_array().is_none_or(Vec::is_empty), "{name} still lets the executor in: {role}");
    }
    Ok(())
}
