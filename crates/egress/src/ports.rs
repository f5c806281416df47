//! Which ports may be called: those of HTTP, and those that belong to nobody.

/// From 1024 on, the ports of services that speak no HTTP, or that nobody means to hand to a tenant: databases, queues,
/// caches, consoles, cluster managers, and what browsers refuse too (Fetch standard, section 2.9, "bad port").
const SERVICES: &[u16] = &[
    1433, 1434, 1521, 1719, 1720, 1723, 1883, 2049, 2181, 2375, 2376, 2377, 2379, 2380, 2483, 2484, 3260,
    3306, 3389, 3659, 4045, 4190, 4369, 5060, 5061, 5432, 5433, 5671, 5672, 5900, 5984, 5985, 5986, 6000,
    6379, 6380, 6432, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 7000, 7001, 7199, 7687, 8009,
    8300, 8301, 8302, 8500, 8883, 9042, 9092, 9160, 9200, 9300, 9418, 10080, 10250, 10255, 10256, 10257,
    10259, 11211, 15672, 16379, 25672, 26257, 26379, 27017, 27018, 27019, 28015, 50000, 61616,
];

/// 80, 443, and what begins at 1024 without the known services.
pub(crate) fn is_open(port: u16) -> bool {
    matches!(port, 80 | 443) || port >= 1_024 && SERVICES.binary_search(&port).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_lower_ports_only_those_of_http_are_open() {
        let open: Vec<u16> = (0..1_024).filter(|port| is_open(*port)).collect();
        assert_eq!(open, [80, 443]);
    }

    #[test]
    fn no_service_is_open_and_its_neighbours_are() {
        assert!(SERVICES.is_sorted(), "it is searched by halves");
        assert!(SERVICES.iter().all(|port| !is_open(*port)));
        for port in [1_024, 3_000, 5_000, 8_000, 8_080, 8_081, 8_443, 9_000, 65_535] {
            assert!(is_open(port), "{port}");
        }
    }
}
