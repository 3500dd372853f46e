//! One name for one object, and the same name from wherever it is reached.

use std::collections::BTreeSet;

use super::{is_full, recorded, root};

#[test]
fn an_open_file_has_one_name_whatever_becomes_of_it() {
    let Some(lab) = root() else { return };
    lab.build_fixture("objects");
    let taken = recorded(&lab, &[], &["./objects"]);
    let writes = lab.events(&taken.bundle, "op:write payload:object-call");
    assert_eq!(writes.len(), 9, "{writes:?}");
    assert_eq!(writes.iter().map(|write| write["key"].to_string()).collect::<BTreeSet<_>>().len(), 2);
    if !is_full(&lab) {
        return; // notify asks the kernel for the present name, which a rename changes
    }
    let names: BTreeSet<&str> = writes.iter().map(|write| write["object"].as_str().expect("a name")).collect();
    let name = lab.work().join("one").display().to_string();
    assert_eq!(names, BTreeSet::from([name.as_str()]), "the name it was opened by");
    for op in ["fstat", "pread64", "ftruncate"] {
        assert_eq!(lab.count(&taken.bundle, &format!("op:{op} path=\"{name}\" outcome:ok")), 1, "{op}");
    }
    assert_eq!(lab.count(&taken.bundle, &format!("op:dup|dup2|fcntl path=\"{name}\" outcome:ok")), 3);
}

#[test]
fn relative_names_are_full_paths_wherever_the_process_stands() {
    let Some(lab) = root() else { return };
    lab.build_fixture("places");
    let taken = recorded(&lab, &["--user", "root"], &["./places"]);
    for name in [
        "a/in-a",
        "a/b/in-b",
        "a/from-b",
        "a/back-in-a",
        "by-child",
        "a/by-parent",
        "a/b/moved-by-thread",
        "a/at-a",
        "outside-the-root",
        "root/relative",
        "root/absolute",
        "root/no-higher",
    ] {
        let path = lab.work().join(name).display().to_string();
        let opens = lab.events(&taken.bundle, &format!("op:openat path=\"{path}\""));
        assert_eq!(opens.len(), 1, "{path}: {opens:?}");
        // The control: the layer has it there.
        assert_eq!(lab.count(&taken.bundle, &format!("op:file-created path=\"{path}\"")), 1, "{path}");
        if is_full(&lab) {
            assert_eq!(opens[0]["outcome"], "ok", "{path}");
        }
    }
}
