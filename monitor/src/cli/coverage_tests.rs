use super::*;

#[test]
fn all_is_said_only_of_all() {
    let count = |connections| Count {
        connections,
        bytes: 0,
    };
    let percent = |read, other, dark| understood(count(read), count(other), count(dark));
    assert_eq!(percent(0, 0, 0), None);
    assert_eq!(percent(1, 1, 0).as_deref(), Some("100 %"));
    assert_eq!(percent(999, 0, 1).as_deref(), Some("99 %"));
    assert_eq!(percent(0, 0, 7).as_deref(), Some("0 %"));
    assert_eq!(percent(u64::MAX, 0, 0).as_deref(), Some("100 %"));
}
