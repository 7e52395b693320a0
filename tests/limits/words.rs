//! What is said of a manifest that is valid and still worth a word.

use serde_json::Value;

use crate::world::{World, service};

#[test]
fn what_is_not_enforced_and_what_looks_like_a_secret_is_said() {
    let world = World::new();
    let more = "limits: { memory: 512Mi, files: 100 }\nenv: { API_TOKEN: hunter2, PORT: \"80\" }";
    world.write("web.yaml", &service("web", "sleep 100000", more));
    let limit = "service/web: limits.memory is not enforced here: no writable cgroup v2 was given to the controller";
    let secret = "service/web: env.API_TOKEN looks like a secret, and a literal value is stored and shown";
    for words in [&["validate", "-f", "manifests"][..], &["apply", "-f", "manifests", "--no-start"]] {
        let said = world.run(words);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.err.contains(limit) && said.err.contains(secret), "{}", said.err);
        assert!(!said.err.contains("hunter2") && !said.err.contains("PORT") && !said.err.contains("files"));
    }
    let said = world.ok(&["validate", "-f", "manifests", "-o", "json"]);
    let verdict: Value = serde_json::from_str(&said).expect("JSON");
    let messages: Vec<&str> =
        verdict["warnings"].as_array().into_iter().flatten().filter_map(|w| w["message"].as_str()).collect();
    assert_eq!((verdict["valid"].as_bool(), messages), (Some(true), vec![secret, limit]));
    assert!(world.ok(&["describe", "web"]).contains("Note:        limits.memory is not enforced here"));
}
