//! Rows as kubectl prints them.

use federation_schema::decode::time::Instant;
use federation_schema::facts::kubernetes;
use serde_json::{Value, json};

use super::row::{cut, human, selector};
use super::{Extra, Include, MetaVersion, layout, layouts, partial, table};

/// 2024-01-01T00:00:00Z
const NOW: Instant = Instant { seconds: 1_704_067_200, nanos: 0 };

fn cells(group: &str, kind: &str, object: &Value) -> Vec<Value> {
    layout(group, kind).cells(object, NOW, None)
}

fn text(group: &str, kind: &str, object: &Value) -> String {
    let words = cells(group, kind, object);
    words
        .iter()
        .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(" | ")
}

fn meta(name: &str) -> Value {
    json!({"name": name, "creationTimestamp": "2023-12-31T23:00:00Z"})
}

/// Protocol: T6
#[test]
fn every_layout_fits_its_columns_and_bears_empty_objects() {
    for layout in layouts::ALL {
        let columns = layout.columns(None).len();
        for object in [
            json!({}),
            json!({"metadata": {}, "spec": {}, "status": {}}),
            json!([]),
            json!(null),
            json!({"spec": [1], "status": "x"}),
        ] {
            assert_eq!(layout.cells(&object, NOW, None).len(), columns, "{}", layout.kind);
        }
        let known = kubernetes().resources().any(|r| r.group == layout.group && r.kind == layout.kind);
        assert!(known || layout.kind == "Scale", "{}", layout.kind);
    }
}

/// Protocol: T4
#[test]
fn kinds_without_columns_show_when_they_were_made() {
    let role = layout("rbac.authorization.k8s.io", "Role");
    let names: Vec<Value> = role.columns(None).iter().map(|column| column["name"].clone()).collect();
    assert_eq!(names, ["Name", "Created At"]);
    assert_eq!(role.columns(None)[1]["type"], "date");
    assert_eq!(text("rbac.authorization.k8s.io", "Role", &json!({"metadata": meta("r")})), "r | 2023-12-31T23:00:00Z");
}

#[test]
fn a_deployment_shows_its_clusters() {
    let deployment = json!({"metadata": meta("web"), "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}});
    assert_eq!(text("apps", "Deployment", &deployment), "web | 2/3 | 3 | 2 | 60m | a,b | x,y | app=web");
    let layout = layout("apps", "Deployment");
    let columns = layout.columns(Some(Extra::Clusters));
    let names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(
        names,
        ["Name", "Ready", "Up-to-date", "Available", "Clusters", "Age", "Containers", "Images", "Selector"]
    );
    assert_eq!(columns[0]["format"], "name");
    assert_eq!((&columns[4]["priority"], &columns[6]["priority"]), (&json!(0), &json!(1)));
    assert_eq!(layout.cells(&deployment, NOW, Some("east:2 west:1"))[4], "east:2 west:1");
    assert_eq!(layout.cells(&deployment, NOW, Some(""))[4], "<none>");
}

fn pod(spec: Value, status: Value) -> String {
    let mut object = json!({"metadata": meta("p"), "spec": spec, "status": status});
    if object["spec"]["leaving"] == true {
        object["metadata"]["deletionTimestamp"] = "2023-12-31T23:59:00Z".into();
    }
    cells("", "Pod", &object)[1..4]
        .iter()
        .map(|cell| cell.as_str().expect("text").to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Protocol: T6
#[test]
fn a_pods_status_is_one_word() {
    let one = json!({"containers": [{"name": "a"}]});
    let running = json!({"name": "a", "ready": true, "restartCount": 2, "state": {"running": {}},
        "lastState": {"terminated": {"finishedAt": "2023-12-31T23:55:00Z"}}});
    let init = |statuses: Value, phase: &str| json!({"phase": phase, "initContainerStatuses": statuses});
    let inits = json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]});
    let sidecar = json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
    for (spec, status, shown) in [
        (one.clone(), json!({"phase": "Pending"}), "0/1 Pending 0"),
        (one.clone(), json!({"phase": "Running", "containerStatuses": [running]}), "1/1 Running 2 (5m ago)"),
        (one.clone(), json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
        (
            one.clone(),
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            "0/1 SchedulingGated 0",
        ),
        (
            one.clone(),
            json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 4}]}),
            "0/1 CrashLoopBackOff 4",
        ),
        (
            one.clone(),
            json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
            "0/1 Completed 0",
        ),
        (
            one.clone(),
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
            "0/1 ExitCode:3 0",
        ),
        (
            one.clone(),
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"signal": 9}}}]}),
            "0/1 Signal:9 0",
        ),
        (
            json!({"containers": [{}, {}]}),
            json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"ready": true, "state": {"running": {}}}]}),
            "1/2 NotReady 0",
        ),
        (
            json!({"containers": [{}, {}]}),
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"ready": true, "state": {"running": {}}}]}),
            "1/2 Running 0",
        ),
        (inits.clone(), init(json!([{"name": "i", "state": {"running": {}}}]), "Pending"), "0/1 Init:0/2 0"),
        (
            inits.clone(),
            init(
                json!([{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]),
                "Pending",
            ),
            "0/1 Init:1/2 0",
        ),
        (
            inits.clone(),
            init(
                json!([{"name": "i", "restartCount": 3, "state": {"waiting": {"reason": "ErrImagePull"}}}]),
                "Pending",
            ),
            "0/1 Init:ErrImagePull 3",
        ),
        (
            inits,
            init(json!([{"name": "i", "state": {"terminated": {"exitCode": 1}}}]), "Pending"),
            "0/1 Init:ExitCode:1 0",
        ),
        (
            sidecar,
            json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}],
            "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]}),
            "2/2 Running 1",
        ),
        (json!({"leaving": true, "containers": [{}]}), json!({"phase": "Running"}), "0/1 Terminating 0"),
        (json!({"leaving": true, "containers": [{}]}), json!({"phase": "Succeeded"}), "0/1 Succeeded 0"),
        (
            json!({"leaving": true, "containers": [{}]}),
            json!({"phase": "Running", "reason": "NodeLost"}),
            "0/1 Unknown 0",
        ),
    ] {
        assert_eq!(pod(spec, status.clone()), shown, "{status}");
    }
}

/// Protocol: T6
#[test]
fn services_and_ingresses_show_their_addresses() {
    let service = |spec: Value, status: Value| {
        text("", "Service", &json!({"metadata": meta("s"), "spec": spec, "status": status}))
    };
    let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]);
    assert_eq!(
        service(
            json!({"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": ports, "selector": {"a": "b", "c": "d"}}),
            json!({})
        ),
        "s | ClusterIP | 10.0.0.1 | <none> | 80/TCP,53:30053/UDP | 60m | a=b,c=d"
    );
    assert_eq!(
        service(json!({"type": "ClusterIP", "clusterIP": "None"}), json!({})),
        "s | ClusterIP | None | <none> | <none> | 60m | <none>"
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer"}), json!({})),
        "s | LoadBalancer | <none> | <pending> | <none> | 60m | <none>"
    );
    assert_eq!(
        service(
            json!({"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]}),
            json!({"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "1.1.1.1"}]}})
        ),
        "s | LoadBalancer | <none> | 1.1.1.1,lb,9.9.9.9 | <none> | 60m | <none>"
    );
    assert_eq!(
        service(json!({"type": "ExternalName", "externalName": "x.y"}), json!({})),
        "s | ExternalName | <none> | x.y | <none> | 60m | <none>"
    );
    let rules = json!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]);
    let ingress = json!({"metadata": meta("i"), "spec": {"ingressClassName": "fedgate", "rules": rules, "tls": [{}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
    assert_eq!(
        text("networking.k8s.io", "Ingress", &ingress),
        "i | fedgate | a,b,c + 1 more... | 1.2.3.4 | 80, 443 | 60m"
    );
    assert_eq!(text("networking.k8s.io", "Ingress", &json!({"metadata": meta("i")})), "i | <none> | * |  | 80 | 60m");
    let slice = json!({"metadata": meta("e"), "addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}],
        "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3", "4"]}]});
    assert_eq!(text("discovery.k8s.io", "EndpointSlice", &slice), "e | IPv4 | 80,x,* | 1,2,3 + 1 more... | 60m");
    let endpoints = json!({"metadata": meta("e"), "subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 80}]}]});
    assert_eq!(text("", "Endpoints", &endpoints), "e | 1.1.1.1:80,[::1]:80 | 60m");
}

/// Protocol: T6
#[test]
fn workloads_and_nodes() {
    let job = |status: Value, spec: Value| {
        text("batch", "Job", &json!({"metadata": meta("j"), "spec": spec, "status": status}))
    };
    assert_eq!(
        job(json!({"startTime": "2023-12-31T23:58:00Z"}), json!({"completions": 2})),
        "j | Running | 0/2 | 2m | 60m |  |  | <none>"
    );
    assert_eq!(
        job(
            json!({"succeeded": 1, "startTime": "2023-12-31T23:00:00Z", "completionTime": "2023-12-31T23:00:05Z",
        "conditions": [{"type": "Complete", "status": "True"}]}),
            json!({"parallelism": 3})
        ),
        "j | Complete | 1/1 of 3 | 5s | 60m |  |  | <none>"
    );
    let cron =
        json!({"metadata": meta("c"), "spec": {"schedule": "* * * * *", "suspend": false}, "status": {"active": [{}]}});
    assert_eq!(text("batch", "CronJob", &cron), "c | * * * * * | <none> | False | 1 | <none> | 60m |  |  | <none>");
    let node = json!({"metadata": {"name": "n", "creationTimestamp": "2023-12-31T23:00:00Z", "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "x"}},
        "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1.37.2", "kernelVersion": "6.1", "architecture": "amd64"}}});
    assert_eq!(
        text("", "Node", &node),
        "n | Ready,SchedulingDisabled | worker,x | 60m | v1.37.2 | 10.0.0.1 | <none> | <unknown> | 6.1 (amd64) | <unknown>"
    );
    let revision = json!({"metadata": {"name": "r", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]}, "revision": 3});
    assert_eq!(text("apps", "ControllerRevision", &revision), "r | statefulset.apps/web | 3 | <unknown>");
    let hpa = json!({"metadata": meta("h"), "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
        {"type": "Pods", "pods": {"target": {"averageValue": "10"}}}, {"type": "External"}]}, "status": {"currentMetrics": [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "3m"}}}], "currentReplicas": 2}});
    assert_eq!(
        text("autoscaling", "HorizontalPodAutoscaler", &hpa),
        "h | Deployment/web | cpu: 12%/80%, <unknown>/10 + 1 more... | <unset> | 5 | 2 | 60m"
    );
}

/// Protocol: T6, B2
#[test]
fn events_of_both_groups_look_the_same() {
    let old = json!({"metadata": {"name": "e"}, "firstTimestamp": "2023-12-31T23:00:00Z", "lastTimestamp": "2023-12-31T23:59:30Z", "count": 4,
        "type": "Normal", "reason": "Pulled", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"}, "message": " done \n", "source": {"component": "kubelet", "host": "n"}});
    assert_eq!(text("", "Event", &old), "30s | Normal | Pulled | pod/p | f | kubelet, n | done | 60m | 4 | e");
    let new = json!({"metadata": {"name": "e"}, "eventTime": "2023-12-31T23:59:50.5Z", "type": "Warning", "reason": "R", "regarding": {"kind": "Node"},
        "note": "n", "reportingController": "c", "reportingInstance": "i"});
    assert_eq!(text("events.k8s.io", "Event", &new), "9s | Warning | R | node |  | c, i | n | 9s | 1 | e");
}

#[test]
fn our_kinds_are_told_in_one_line() {
    let member = json!({"metadata": meta("east"), "spec": {"region": "eu", "zones": ["a", "b"], "server": "https://x"}, "status": {"version": "v1.37.1",
        "nodes": {"ready": 3, "total": 4}, "capacity": {"cpu": "12"}, "requested": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(
        text("fedgate.dev", "Cluster", &member),
        "east | True | v1.37.1 | eu | 3/4 | 60m | a,b | <none> | https://x | 4/12 | <none>"
    );
    let placement = json!({"metadata": meta("p"), "spec": {"select": [{"kind": "Deployment", "name": "web"}, {"kind": "Service"}], "priority": 2,
        "clusters": [{"names": ["east"], "exclude": ["x"], "regions": ["eu"]}], "replicas": {"mode": "Divided"}}});
    assert_eq!(
        text("fedgate.dev", "Placement", &placement),
        "p | Deployment/web,Service/* | east,!x,region=eu | Divided | 2 | 60m"
    );
    let binding = json!({"metadata": meta("b"), "spec": {"template": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "epoch": 7,
        "clusters": [{"name": "east", "replicas": 3}, {"name": "west", "withdraw": true}]}, "status": {"clusters": [{"phase": "Applied"}, {"phase": "Failed"}]}});
    assert_eq!(
        text("fedgate.dev", "PlacementBinding", &binding),
        "b | Deployment/shop/web | east:3 -west | 1/2 | 60m | <none> | <none> | 7"
    );
}

/// Protocol: T2
#[test]
fn rows_carry_as_much_as_was_asked() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Succeeded"}});
    let layout = layout("", "Pod");
    let row = layout.row(&pod, NOW, None, Include::default());
    assert_eq!(
        row["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "p"}})
    );
    assert_eq!(row["conditions"][0]["reason"], "Succeeded");
    assert_eq!(layout.row(&pod, NOW, None, Include::Object)["object"], pod);
    assert_eq!(layout.row(&pod, NOW, None, Include::None)["object"], Value::Null);
    assert_eq!((Include::parse("None"), Include::parse("none")), (Some(Include::None), None));
    let whole = table(MetaVersion::V1Beta1, &json!({"resourceVersion": "5"}), &[], &[row]);
    assert_eq!((&whole["apiVersion"], &whole["rows"][0]["cells"][0]), (&json!("meta.k8s.io/v1beta1"), &json!("p")));
    assert_eq!(partial(MetaVersion::V1, &json!({}))["metadata"], json!({}));
}

/// Protocol: T5
#[test]
fn durations_are_for_people() {
    for (seconds, shown) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (176_400, "2d1h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (252_288_000, "8y"),
    ] {
        assert_eq!(human(seconds), shown, "{seconds}");
    }
}

#[test]
fn selectors_and_lists_are_cut_as_upstream_cuts_them() {
    let words = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (cut(&words(0), 3), cut(&words(3), 3), cut(&words(5), 3)),
        ("<unset>".into(), "0,1,2".into(), "0,1,2 + 2 more...".into())
    );
    let expressions = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}, {"key": "d", "operator": "Exists"}, {"key": "e", "operator": "NotIn", "values": ["z"]}]});
    assert_eq!(selector(&expressions), "a in (x,y),b=1,!c,d,e notin (z)");
}
