use guildhall_shared::model_spec::{Architecture, MeasuredFigures, Metrics};

use super::*;
use crate::folder::create_private;
use crate::participant::test_job;

#[test]
fn jobs_come_back_by_their_digest_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::at(dir.path());
    assert_eq!(kept_jobs(&folder).unwrap(), []);
    let first = test_job();
    let second = JobSpec { purpose: "another".into(), ..first.clone() };
    assert_eq!(kept_job(&folder, &first.digest()).unwrap(), None);
    assert!(!folder.models(&first.digest()).exists(), "looking makes no folder");
    for spec in [&first, &second] {
        create_private(&folder.models(&spec.digest())).unwrap();
        keep_job(&folder, spec).unwrap();
    }
    // What lies beside is none: a folder of another name, and one of a job from before jobs were kept.
    create_private(&folder.all_models().join("notes")).unwrap();
    create_private(&folder.models(&Digest([7; 32]))).unwrap();
    let mut kept = kept_jobs(&folder).unwrap();
    kept.sort_by(|a, b| a.purpose.cmp(&b.purpose));
    let mut expected = vec![first.clone(), second.clone()];
    expected.sort_by(|a, b| a.purpose.cmp(&b.purpose));
    assert_eq!(kept, expected);

    // A job under the name of another is not taken for it.
    std::fs::copy(folder.kept_job(&first.digest()), folder.kept_job(&second.digest())).unwrap();
    let error = kept_job(&folder, &second.digest()).unwrap_err().to_string();
    assert!(error.contains("the job that the folder is named after"), "{error}");
    assert_eq!(kept_job(&folder, &first.digest()).unwrap(), Some(first));
}

#[test]
fn the_followed_job_is_the_newest_that_releases_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::at(dir.path());
    assert_eq!(followed_job(&folder).unwrap(), None);
    let first = test_job();
    let second = JobSpec { purpose: "another".into(), ..first.clone() };
    let metrics = Metrics {
        job: first.digest(),
        model: Digest([7; 32]),
        figures: MeasuredFigures::Ranking { k: 10 },
        groups: vec![0],
    };
    let measuring = JobSpec { architecture: Architecture::Metrics(metrics), ..first.clone() };
    for (spec, expected) in [(&first, &first), (&measuring, &first), (&second, &second)] {
        create_private(&folder.models(&spec.digest())).unwrap();
        keep_job(&folder, spec).unwrap();
        assert_eq!(followed_job(&folder).unwrap().as_ref(), Some(expected));
        assert_eq!(kept_job(&folder, &spec.digest()).unwrap().as_ref(), Some(spec));
    }

    std::fs::write(folder.followed_job(), b"no job").unwrap();
    let error = followed_job(&folder).unwrap_err().to_string();
    assert!(error.contains("job.followed") && error.contains("the job that is followed"), "{error}");
}
