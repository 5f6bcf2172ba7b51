use std::sync::Arc;

use super::*;

fn event(number: i64) -> ShopperEvent {
    let item = ["tea", "white \"bread\"\n", "käse", "7"][number as usize % 4];
    let time = (number % 3 != 0).then_some(number);
    ShopperEvent { shopper: ShopperKey::of_id(&number.to_string()), item: item.into(), time }
}

fn events(numbers: std::ops::Range<i64>) -> Vec<ShopperEvent> {
    numbers.map(event).collect()
}

#[tokio::test]
async fn what_is_acknowledged_is_read_back_in_order_after_any_number_of_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/events.log");
    assert_eq!(read_events(&path).unwrap().events, []);
    for start in 0..3 {
        let (log, recorded) = EventLog::open(&path).unwrap();
        assert_eq!(recorded.events, events(0..10 * start));
        log.append(&events(10 * start..10 * start + 4)).await.unwrap();
        log.append(&events(10 * start + 4..10 * start + 10)).await.unwrap();
    }
    assert_eq!(read_events(&path).unwrap().events, events(0..30));
    assert_eq!(read_events(&path).unwrap(), read_events(&path).unwrap());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("\"shopper\":\"3\""), "keys, not ids");
}

#[test]
fn events_come_after_the_data_in_the_order_they_came() {
    let catalogue = Catalogue::of_items(vec!["7".into(), "tea".into()]);
    let shopper = ShopperKey::of_id("anna");
    let event = |item: &str| ShopperEvent { shopper, item: item.into(), time: None };
    let recorded =
        RecordedEvents { events: ["tea", "no longer sold", "7"].map(event).to_vec(), ..Default::default() };
    let mut histories = BTreeMap::from([(shopper, vec![1])]);
    recorded.append_to(&mut histories, &catalogue);
    assert_eq!(histories, BTreeMap::from([(shopper, vec![1, 1, 0])]));
}

#[tokio::test]
async fn requests_at_the_same_time_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.log");
    let (log, _) = EventLog::open(&path).unwrap();
    let log = Arc::new(log);
    let mut requests = tokio::task::JoinSet::new();
    for request in 0..50 {
        let log = Arc::clone(&log);
        requests.spawn(async move { log.append(&events(10 * request..10 * request + 10)).await });
    }
    while let Some(appended) = requests.join_next().await {
        appended.unwrap().unwrap();
    }
    let recorded = read_events(&path).unwrap();
    assert_eq!((recorded.events.len(), recorded.damaged), (500, 0));
    for request in recorded.events.chunks(10) {
        let first = (0..50).find(|r| event(10 * r) == request[0]).unwrap();
        assert_eq!(request, events(10 * first..10 * first + 10));
    }
}

#[tokio::test]
async fn a_cut_at_any_byte_loses_only_what_was_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.log");
    let (log, _) = EventLog::open(&path).unwrap();
    log.append(&events(0..4)).await.unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kept = ends.iter().filter(|end| **end <= cut).count() as i64;
        let (log, recorded) = EventLog::open(&path).unwrap();
        assert_eq!((recorded.events, recorded.damaged), (events(0..kept), 0), "cut at {cut}");
        log.append(&[event(9)]).await.unwrap();
        let expected: Vec<ShopperEvent> = events(0..kept).into_iter().chain([event(9)]).collect();
        assert_eq!(read_events(&path).unwrap().events, expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_costs_one_line_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.log");
    let (log, _) = EventLog::open(&path).unwrap();
    log.append(&events(0..3)).await.unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for at in 0..first {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let recorded = read_events(&path).unwrap();
        // A flip that makes a line end makes two damaged lines.
        assert!(recorded.damaged == 1 || recorded.damaged == 2, "byte {at}");
        assert_eq!(recorded.events, events(1..3), "byte {at}");
    }
}

#[test]
fn a_full_file_and_a_disk_that_fails_are_errors_and_leave_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.log");
    let mut text = String::new();
    write_line(&mut text, &event(1));
    let work = |text: &str| Work { text: text.into(), done: oneshot::channel().0 };
    let file = open_at(&path, 0).unwrap();
    let mut writer = Writer { path: path.clone(), file, bytes: 0, bytes_max: text.len() as u64 + 3 };
    writer.write(&[work(&text)]).unwrap();
    assert_eq!(writer.write(&[work(&text)]), Err(EventError::Full));
    assert_eq!(read_events(&path).unwrap().events, [event(1)]);
    // A handle that cannot be written stands for a full disk; the file is opened anew and works again.
    writer.file = File::open(&path).unwrap();
    writer.bytes_max = FILE_BYTES_MAX;
    assert!(matches!(writer.write(&[work(&text)]), Err(EventError::Disk(_))));
    writer.write(&[work(&text)]).unwrap();
    assert_eq!(read_events(&path).unwrap().events, [event(1), event(1)]);
}
