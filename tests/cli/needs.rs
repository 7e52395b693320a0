//! Objects that name other objects: what is refused, and in which words.

use expect_test::expect;

use crate::words::transcript;
use crate::world::{World, service};

#[test]
fn a_need_leads_somewhere_and_never_back() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", "needs: [dbb]"));
    world.write("db.yaml", &service("db", "sleep 1000", ""));
    let lines = [
        "setpoint validate -f manifests",
        "setpoint diff -f manifests",
        "setpoint apply -f manifests --no-start",
        "setpoint get -q",
        "sed -i 's/dbb/db/' manifests/web.yaml; setpoint apply -f manifests --no-start -q",
        "rm manifests/db.yaml; setpoint validate -f manifests",
        "setpoint apply -f manifests --prune --yes --no-start",
        "printf 'kind: Service\\nname: db\\nrun: sleep 1\\nneeds: [{name: web, until: started}]\\n' > manifests/db.yaml; \
         setpoint validate -f manifests",
        "printf 'kind: Service\\nname: db\\nrun: sleep 1\\nneeds: [db]\\n' | setpoint validate -f -",
        "printf 'kind: Service\\nname: x\\nrun: sleep 1\\nneeds: [job/y, a b, db, db]\\n' | setpoint validate -f -",
    ];
    expect![[r#"
        $ setpoint validate -f manifests
        ! error: service/web needs service/dbb, which is neither in these files nor applied
        !  --> manifests/web.yaml:5:9
        !   |
        ! 5 | needs: [dbb]
        !   |         ^^^ did you mean `db`?
        !   |
        !   = help: add its manifest, apply it first, or correct the name
        !
        ! 1 error in 1 of 2 files.
        = 2
        $ setpoint diff -f manifests
        ! error: service/web needs service/dbb, which is neither in these files nor applied
        !  --> manifests/web.yaml:5:9
        !   |
        ! 5 | needs: [dbb]
        !   |         ^^^ did you mean `db`?
        !   |
        !   = help: add its manifest, apply it first, or correct the name
        !
        ! 1 error in 1 of 2 files. Nothing was changed.
        = 2
        $ setpoint apply -f manifests --no-start
        ! error: service/web needs service/dbb, which is neither in these files nor applied
        !  --> manifests/web.yaml:5:9
        !   |
        ! 5 | needs: [dbb]
        !   |         ^^^ did you mean `db`?
        !   |
        !   = help: add its manifest, apply it first, or correct the name
        !
        ! 1 error in 1 of 2 files. Nothing was changed.
        = 2
        $ setpoint get -q
          There is nothing yet. Write a manifest (setpoint init) and apply it: setpoint apply -f manifests/
        = 0
        $ sed -i 's/dbb/db/' manifests/web.yaml; setpoint apply -f manifests --no-start -q
          + service/db           start         (new)
          + service/web          start         (new)
        = 0
        $ rm manifests/db.yaml; setpoint validate -f manifests
          1 object in 1 file is valid.
        = 0
        $ setpoint apply -f manifests --prune --yes --no-start
        ! error: service/web needs service/db, which this would remove
        !  --> manifests/web.yaml:5:9
        !   |
        ! 5 | needs: [db]
        !   |         ^^
        !   |
        !   = help: add its manifest, apply it first, or correct the name
        !
        ! 1 error in 1 of 1 file. Nothing was changed.
        = 2
        $ printf 'kind: Service\nname: db\nrun: sleep 1\nneeds: [{name: web, until: started}]\n' > manifests/db.yaml; setpoint validate -f manifests
        ! error: service/db needs itself: service/db -> service/web -> service/db
        !  --> manifests/db.yaml:4:10
        !   |
        ! 4 | needs: [{name: web, until: started}]
        !   |          ^^^^
        !   |
        !   = help: remove one of these needs: none of them could ever start
        !
        ! 1 error in 1 of 2 files.
        = 2
        $ printf 'kind: Service\nname: db\nrun: sleep 1\nneeds: [db]\n' | setpoint validate -f -
        ! error: service/db needs itself: service/db -> service/db
        !  --> <stdin>:4:9
        !   |
        ! 4 | needs: [db]
        !   |         ^^
        !   |
        !   = help: remove one of these needs: none of them could ever start
        !
        ! 1 error in 1 of 1 file.
        = 2
        $ printf 'kind: Service\nname: x\nrun: sleep 1\nneeds: [job/y, a b, db, db]\n' | setpoint validate -f -
        ! error: `needs[1]` is no name of an object
        !  --> <stdin>:4:16
        !   |
        ! 4 | needs: [job/y, a b, db, db]
        !   |                ^^^
        !   |
        !   = help: name a Service: needs: [db]
        !
        ! error: `needs[3]` is needed twice
        !  --> <stdin>:4:25
        !   |
        ! 4 | needs: [job/y, a b, db, db]
        = 2
    "#]].assert_eq(&transcript(&world, &lines));
}
