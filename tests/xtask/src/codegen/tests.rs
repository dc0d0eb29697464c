//! The committed table is what the sources say.

use std::path::Path;

use super::golang::Package;
use super::{Codegen, Modules};

#[test]
fn the_committed_table_is_what_the_sources_say() {
    if let Err(missing) = Modules::find() {
        eprintln!("skipped: {missing}");
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/xtask has two parents");
    Codegen { check: true }.run(workspace).expect("up to date");
}

#[test]
fn go_structs_are_read() {
    let mut package = Package::default();
    package.source(
        "type Volume struct {\n\t// Name `json:\"no\"`\n\tName string `json:\"name\" protobuf:\"bytes,1,opt,name=name\"`\n\
         \tVolumeSource `json:\",inline\" protobuf:\"bytes,2,opt,name=volumeSource\"`\n\
         \tSize *int32 `json:\"size,omitempty\" protobuf:\"varint,3,opt,name=size\"`\n}\n\
         type ResourceList map[ResourceName]resource.Quantity\n",
    );
    let fields = &package.structs["Volume"];
    let seen: Vec<_> = fields.iter().map(|f| (&*f.json, &*f.go_type, f.tag)).collect();
    assert_eq!(seen, [("name", "string", 1), ("", "VolumeSource", 2), ("size", "*int32", 3)]);
    assert!(package.nillable("*int32") && package.nillable("ResourceList") && !package.nillable("string"));
}
