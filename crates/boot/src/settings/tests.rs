use super::{KEYS, LogFormat, ReceiverControl, Settings, Signup, keys};
use secrecy::{ExposeSecret, SecretString};
use std::io::Write as _;
use std::time::Duration;

/// A canary: no error or `Debug` may ever show it.
const CANARY: &str = "c4n4ry";

fn load(environment: &[(&str, &str)]) -> Result<Settings, super::SettingsError> {
    Settings::load(None, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn load_file(text: &str, environment: &[(&str, &str)]) -> Result<Settings, super::SettingsError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(file.path()), environment)
}

const KEY_A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn nothing_set_is_the_defaults() {
    let settings =
        load(&[("PATH", "/bin"), ("TRUNKLINE_API_KEY", "is no setting"), ("DATABASE_URL", "")]).unwrap();
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    assert_eq!(settings.delivery.retry_schedule.len(), 9);
    assert_eq!(settings.endpoint_timeout_max(), Duration::from_secs(20));
    assert!(settings.require_database_url().unwrap_err().to_string().contains("TRUNKLINE__DATABASE__URL"));
    assert!(settings.require_secrets_keys().unwrap_err().to_string().contains("TRUNKLINE__SECRETS__KEYS"));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let file = r#"
        signup = "open"
        [worker]
        lease = "40s"
        concurrency = 7
        [delivery]
        retry_schedule = ["1s", "2m"]
        [egress]
        allow = ["10.0.0.0/8"]
        [log]
        format = "json"
    "#;
    let settings = load_file(
        file,
        &[
            ("TRUNKLINE__WORKER__LEASE", "50s"),
            ("TRUNKLINE__EGRESS__ALLOW", "127.0.0.0/8, ::1/128"),
            ("TRUNKLINE__RECEIVER__CONTROL", "open"),
        ],
    )
    .unwrap();
    assert_eq!(settings.worker.lease, Duration::from_secs(50));
    assert_eq!(settings.worker.concurrency, 7);
    assert_eq!(settings.delivery.retry_schedule, [Duration::from_secs(1), Duration::from_secs(120)]);
    assert_eq!(settings.egress.allow.len(), 2);
    assert_eq!(settings.signup, Signup::Open);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.receiver.control, ReceiverControl::Open);
}

#[test]
fn payloads_are_not_kept_longer_than_their_events() {
    let days = |count: u64| Duration::from_secs(count * 86_400);
    let settings = load(&[("TRUNKLINE__RETENTION__EVENTS", "7days")]).unwrap();
    assert_eq!((settings.retention.events, settings.retention.payloads), (days(7), days(7)));
    let settings = load(&[("TRUNKLINE__RETENTION__EVENTS", "1year")]).unwrap();
    assert_eq!(settings.retention.payloads, days(30));
}

#[test]
fn database_url_is_the_weaker_of_its_two_names() {
    let url = |environment: &[(&str, &str)]| {
        let settings = load_file("[database]\nurl = \"postgres://file\"", environment).unwrap();
        settings.require_database_url().unwrap().expose_secret().to_owned()
    };
    assert_eq!(url(&[]), "postgres://file");
    assert_eq!(url(&[("DATABASE_URL", "postgres://plain")]), "postgres://plain");
    let both = [("DATABASE_URL", "postgres://plain"), ("TRUNKLINE__DATABASE__URL", "postgres://own")];
    assert_eq!(url(&both), "postgres://own");
}

#[test]
fn keys_are_parsed_and_hidden() {
    let keys = format!("new-1:{KEY_A},old_2:{KEY_A}");
    let operator = format!("operator-{CANARY}-0123456789");
    let database = format!("postgres://u:{CANARY}@h/d");
    let settings = load(&[
        ("TRUNKLINE__SECRETS__KEYS", &keys),
        ("TRUNKLINE__OPERATOR__KEYS", &operator),
        ("DATABASE_URL", &database),
    ])
    .unwrap();
    let keys = settings.require_secrets_keys().unwrap();
    assert_eq!((keys[0].id.as_str(), keys[1].id.as_str()), ("new-1", "old_2"));
    assert_eq!(keys[0].clone().key.expose_secret(), &[0; 32]);
    assert_eq!(settings.operator.keys[0].expose_secret(), operator);
    assert!(!format!("{settings:?}").contains(CANARY));
}

#[test]
fn a_secret_can_be_in_a_file_of_its_own() {
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let keys = file(&format!("\nnew:{KEY_A}\n\nold:{KEY_A},older:{KEY_A}\n"));
    let operators = file("operator-key-number-one\r\noperator-key-number-two\r\n");
    let (url, session_url) = (file("postgres://u:p@h/d\n"), file("postgresql://direct/d"));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let settings = load(&[
        ("TRUNKLINE__SECRETS__KEYS_FILE", &path(&keys)),
        ("TRUNKLINE__OPERATOR__KEYS_FILE", &path(&operators)),
        ("TRUNKLINE__DATABASE__URL_FILE", &path(&url)),
        ("TRUNKLINE__DATABASE__SESSION_URL_FILE", &path(&session_url)),
        // The weaker name, and what a compose file passes on although nobody set it.
        ("DATABASE_URL", "postgres://weaker/d"),
        ("TRUNKLINE__OPERATOR__KEYS", ""),
    ])
    .unwrap();
    let ids: Vec<_> = settings.secrets.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["new", "old", "older"]);
    let keys: Vec<_> = settings.operator.keys.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, ["operator-key-number-one", "operator-key-number-two"]);
    assert_eq!(settings.require_database_url().unwrap().expose_secret(), "postgres://u:p@h/d");
    assert_eq!(settings.database.session_url.unwrap().expose_secret(), "postgresql://direct/d");

    let from_toml = load_file(&format!("[database]\nurl_file = {:?}", path(&url)), &[]).unwrap();
    assert_eq!(from_toml.require_database_url().unwrap().expose_secret(), "postgres://u:p@h/d");
}

#[test]
fn a_secret_in_a_file_is_refused_under_the_name_of_its_file_and_beside_one_without() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"a:c4n4ry").unwrap();
    let path = &file.path().to_str().unwrap().to_owned();
    let error = load(&[("TRUNKLINE__SECRETS__KEYS_FILE", path)]).unwrap_err();
    assert_eq!(error.problems()[0].key, "TRUNKLINE__SECRETS__KEYS_FILE");
    assert!(error.to_string().contains("entry 1 has a key that is not padded base64"), "{error}");
    assert!(!error.to_string().contains(CANARY), "{error}");

    let key = format!("a:{KEY_A}");
    let both = load(&[("TRUNKLINE__SECRETS__KEYS", &key), ("TRUNKLINE__SECRETS__KEYS_FILE", path)]);
    let error = both.unwrap_err().to_string();
    assert!(error.contains("KEYS_FILE is set beside secrets.keys; keep one of the two"), "{error}");

    file.write_all(b"\xff").unwrap();
    let error = load(&[("TRUNKLINE__SECRETS__KEYS_FILE", path)]).unwrap_err();
    assert!(error.to_string().contains("no text (UTF-8)"), "{error}");
}

#[test]
fn a_proxy_is_taken_apart_and_its_password_hidden() {
    let proxy = |text| load(&[("TRUNKLINE__EGRESS__PROXY", text)]).unwrap().egress.proxy;
    let full = proxy("http://us%65r:c4n4ry%3A%40@[2001:db8::1]:3128").unwrap();
    assert_eq!((full.host.as_str(), full.port), ("2001:db8::1", 3128));
    assert_eq!(full.credentials.as_ref().unwrap().expose_secret(), "user:c4n4ry:@");
    assert!(!format!("{full:?}").contains(CANARY));
    let plain = proxy("http://proxy.internal").unwrap();
    assert_eq!((plain.host.as_str(), plain.port, plain.credentials.is_none()), ("proxy.internal", 80, true));
    assert!(proxy("").is_none());
}

/// (variable, value, what the error says). The value never shows in it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("DATABASE_URL", "mysql://c4n4ry", "accepts postgres://"),
    ("TRUNKLINE__DATABASE__URL", "c4n4ry", "accepts postgres://"),
    ("TRUNKLINE__DATABASE__SESSION_URL", "c4n4ry", "accepts postgres://"),
    ("TRUNKLINE__DATABASE__POOLER", "c4n4ry", "one of: none, transaction"),
    ("TRUNKLINE__DATABASE__MAX_CONNECTIONS", "1", "from 2 to 1000"),
    ("TRUNKLINE__API__BIND", "c4n4ry:80", "accepts an address and port"),
    ("TRUNKLINE__RECEIVER__BIND", "8081", "accepts an address and port"),
    ("TRUNKLINE__RECEIVER__CONTROL", "c4n4ry", "one of: key, open"),
    ("TRUNKLINE__RECEIVER__RECEIPT_RETENTION", "9m", "from 10m to"),
    ("TRUNKLINE__ADMIN__BIND", "", "accepts an address and port"),
    ("TRUNKLINE__CLIENTS__HEAD_TIMEOUT", "0s", "from 1s to 10m"),
    ("TRUNKLINE__CLIENTS__BODY_TIMEOUT", "c4n4ry", "from 1s to 10m"),
    ("TRUNKLINE__CLIENTS__IDLE_TIMEOUT", "11m", "from 1s to 10m"),
    (
        "TRUNKLINE__CLIENTS__TRUSTED_PROXIES",
        "10.0.0.0/8,c4n4ry",
        "accepts networks such as 10.1.0.0/16 or fd00::/8; entry 2",
    ),
    ("TRUNKLINE__CLIENTS__FAILED_LOGINS_PER_MINUTE", "-1", "0 = no limit"),
    ("TRUNKLINE__OPERATOR__KEYS", "c4n4ry", "16 or more visible characters; entry 1 is too short"),
    ("TRUNKLINE__OPERATOR__KEYS", "c4n4ry c4n4ry c4n4ry", "cannot be sent in a header"),
    ("TRUNKLINE__SECRETS__KEYS", "c4n4ry", "entry 1 has no colon"),
    ("TRUNKLINE__SECRETS__KEYS", "C4N4RY:c4n4ry", "has an id that is not"),
    ("TRUNKLINE__SECRETS__KEYS", "a:c4n4ry", "is not padded base64"),
    ("TRUNKLINE__SECRETS__KEYS", "a:YzRuNHJ5", "not 32 bytes long"),
    // Whoever mistakes one for the other has put the secret where a path belongs.
    ("TRUNKLINE__DATABASE__URL_FILE", "/c4n4ry", "names a file that cannot be read: No such file"),
    ("TRUNKLINE__DATABASE__SESSION_URL_FILE", "c4n4ry", "names a file that cannot be read"),
    ("TRUNKLINE__OPERATOR__KEYS_FILE", "c4n4ry", "names a file that cannot be read"),
    ("TRUNKLINE__SECRETS__KEYS_FILE", "a:c4n4ry", "names a file that cannot be read"),
    ("TRUNKLINE__SECRETS__KEYS_FILE", "/", "names a file that cannot be read"),
    ("TRUNKLINE__SECRETS__KEYS_FILE", "/dev/zero", "names a file of more than 65536 bytes"),
    (
        "TRUNKLINE__EGRESS__ALLOW",
        "10.0.0.0/8,c4n4ry",
        "accepts networks such as 10.1.0.0/16 or fd00::/8; entry 2",
    ),
    ("TRUNKLINE__EGRESS__DENY", "c4n4ry", "accepts networks such as"),
    ("TRUNKLINE__EGRESS__PROXY", "https://u:c4n4ry@proxy:3128", "accepts http://user:password@host:port"),
    ("TRUNKLINE__EGRESS__PROXY", "http://u:c4n4ry@proxy:3128/path", "accepts http://user:password@host:port"),
    (
        "TRUNKLINE__EGRESS__PROXY",
        "http://u:c4n4ry%0d%0a@proxy:3128",
        "accepts http://user:password@host:port",
    ),
    ("TRUNKLINE__EGRESS__PROXY_RESOLVES", "c4n4ry", "one of: false, true"),
    ("TRUNKLINE__EGRESS__PROXY_RESOLVES", "true", "needs egress.proxy"),
    ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "", "1 to 30 durations"),
    ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "5s,c4n4ry", "entry 2"),
    ("TRUNKLINE__DELIVERY__RETRY_SCHEDULE", "5s,31days", "entry 2"),
    ("TRUNKLINE__DELIVERY__RETRY_JITTER", "1.1", "a fraction from 0 to 1"),
    ("TRUNKLINE__DELIVERY__RETRY_JITTER", "NaN", "a fraction from 0 to 1"),
    ("TRUNKLINE__DELIVERY__TIMEOUT", "15", "a duration from 100ms to 5m"),
    ("TRUNKLINE__DELIVERY__TIMEOUT", "21s", "accepts 20s or less: worker.drain (22s) must exceed it by 2s"),
    ("TRUNKLINE__DELIVERY__CONNECT_TIMEOUT", "0s", "a duration from 10ms to 1m"),
    ("TRUNKLINE__DELIVERY__KEEP_HEADERS", "c4n4ry", "one of: failures, all"),
    ("TRUNKLINE__WORKER__CONCURRENCY", "0", "from 1 to 10000"),
    ("TRUNKLINE__WORKER__CONCURRENCY", "-1", "from 1 to 10000"),
    ("TRUNKLINE__WORKER__ENDPOINT_CONCURRENCY", "c4n4ry", "from 1 to 1000"),
    ("TRUNKLINE__WORKER__LEASE", "c4n4ry", "accepts a duration"),
    ("TRUNKLINE__WORKER__LEASE", "17s", "accepts 18s or more: it must exceed delivery.timeout (15s) by 3s"),
    ("TRUNKLINE__WORKER__DRAIN", "16s", "accepts 17s or more"),
    ("TRUNKLINE__WORKER__POLL_IDLE", "0ms", "from 1ms to 1m"),
    ("TRUNKLINE__WORKER__POLL_BUSY", "c4n4ry", "from 1ms to 10s"),
    ("TRUNKLINE__PARTITIONS__AHEAD", "1", "from 2 to 60"),
    ("TRUNKLINE__PARTITIONS__WIDTH_DAYS", "0", "from 1 to 31"),
    ("TRUNKLINE__RETENTION__EVENTS", "12h", "from 1day to 10years"),
    ("TRUNKLINE__RETENTION__PAYLOADS", "91days", "accepts 90days or less"),
    ("TRUNKLINE__RETENTION__EXPORT", "c4n4ry/relative", "the absolute path of a folder"),
    ("TRUNKLINE__INGEST__MAX_PAYLOAD_BYTES", "1023", "from 1024 to 1048576"),
    ("TRUNKLINE__INGEST__RATE_PER_TENANT", "many", "0 = no limit"),
    ("TRUNKLINE__INGEST__BURST_PER_TENANT", "1.5", "0 = no limit"),
    ("TRUNKLINE__SIGNUP", "c4n4ry", "one of: operator, open"),
    ("TRUNKLINE__LOG__FORMAT", "c4n4ry", "one of: text, json"),
    ("TRUNKLINE__LOG__FILTER", "a=b=c4n4ry", "accepts a level"),
    (
        "TRUNKLINE__TELEMETRY__OTLP_ENDPOINT",
        "http://c4n4ry:c4n4ry@collector:4318",
        "accepts an address such as",
    ),
    ("TRUNKLINE__TELEMETRY__OTLP_HEADERS", "a=b, c4n4ry", "entry 2 is none"),
    ("TRUNKLINE__TELEMETRY__SAMPLING_RATIO", "1.5", "from 0 to 1"),
    ("TRUNKLINE__WORKER__LEESE", "c4n4ry", "is not a setting; known in this section: worker.concurrency"),
    ("TRUNKLINE__WORKER__LEASE__X", "c4n4ry", "is not a setting"),
    ("TRUNKLINE__", "c4n4ry", "is not a setting; known sections: database, api"),
    ("TRUNKLINE__worker__lease", "40s", "is not a setting"),
    ("TRUNKLINE__DATABASE", "c4n4ry", "is not a setting; known in this section: database.url"),
];

#[test]
fn a_wrong_variable_is_refused_by_name_with_what_it_accepts() {
    for (name, value, expected) in REFUSED {
        let error = load(&[(name, value)]).expect_err(&format!("{name}={value}"));
        let text = format!("{error} {error:?}");
        assert_eq!(error.problems()[0].key, *name, "{text}");
        assert!(text.contains(expected), "{name}={value}: {text}");
        assert!(!text.to_lowercase().contains(CANARY), "{name} echoes its value: {text}");
    }
}

#[test]
fn a_collector_and_the_headers_it_asks_for_are_taken_and_its_key_is_not_shown() {
    let settings = load(&[
        ("TRUNKLINE__TELEMETRY__OTLP_ENDPOINT", "https://otlp.example.com/v1/traces"),
        ("TRUNKLINE__TELEMETRY__OTLP_HEADERS", "authorization=Bearer c4n4ry=="),
    ])
    .unwrap();
    let [(name, value)] = settings.telemetry.otlp_headers.as_slice() else { panic!("one header") };
    assert_eq!((name.as_str(), value.expose_secret()), ("authorization", "Bearer c4n4ry=="));
    assert!(!format!("{settings:?}").contains(CANARY));
}

#[test]
fn every_setting_is_refused_somewhere_in_the_table() {
    for key in KEYS {
        let name = keys::variable(key);
        assert!(REFUSED.iter().any(|(refused, ..)| *refused == name), "{name} has no refusal in the table");
    }
}

#[test]
fn a_direct_connection_besides_means_that_the_url_is_a_pooler() {
    let (url, session) = (("DATABASE_URL", "postgres://u:p@pooler/d"), "TRUNKLINE__DATABASE__SESSION_URL");
    let pooler = "TRUNKLINE__DATABASE__POOLER";
    let direct = |variables: &[(&str, &str)]| {
        let database = load(variables).unwrap().database;
        let host = |url: &SecretString| {
            let (_, place) = url.expose_secret().split_once('@').unwrap();
            place.to_owned()
        };
        (database.is_pooled(), database.direct_url().map(host))
    };
    let is = |pooled, direct: Option<&str>| (pooled, direct.map(str::to_owned));
    let besides = (session, "postgres://u:p@server/d");
    assert_eq!(direct(&[url]), is(false, Some("pooler/d")));
    assert_eq!(direct(&[url, besides]), is(true, Some("server/d")));
    assert_eq!(direct(&[url, besides, (pooler, "none")]), is(false, Some("server/d")));
    assert_eq!(direct(&[url, (pooler, "transaction")]), is(true, None));
}

#[test]
fn a_repeated_secrets_id_is_refused() {
    let error = load(&[("TRUNKLINE__SECRETS__KEYS", &format!("a:{KEY_A},b:{KEY_A},a:{KEY_A}"))]).unwrap_err();
    assert!(error.to_string().contains("entry 3 repeats the id"), "{error}");
}

#[test]
fn a_wrong_file_names_its_keys_and_itself_and_shows_no_line_of_it() {
    for (text, expected) in [
        ("worker = 3", "worker (in "),
        ("[worker]\nlease = 5", "worker.lease (in "),
        ("[worker]\nlease = [\"5s\"]", "accepts a duration"),
        ("[worker]\nleese = \"c4n4ry\"", "worker.leese (in "),
        ("[wrokers]\nlease = \"5s\"", "known sections: database, api"),
        ("[operator]\nkeys = [[\"c4n4ry\"]]", "operator.keys (in "),
        ("[secrets]\nkeys = \"c4n4ry\n", "is not valid TOML: TOML parse error at line 2"),
    ] {
        let error = load_file(text, &[]).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains(CANARY), "{text}: {error}");
    }
    let missing = Settings::load(Some("/nowhere/trunkline.toml".as_ref()), []).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/trunkline.toml") && missing.contains("cannot be read"), "{missing}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let error = load(&[("TRUNKLINE__SIGNUP", "x"), ("TRUNKLINE__LOG__FORMAT", "x"), ("TRUNKLINE__X", "x")])
        .unwrap_err();
    assert_eq!(error.problems().len(), 3);
    assert!(error.to_string().starts_with("3 wrong settings:\n"), "{error}");
}

#[test]
fn the_list_of_keys_is_what_is_read() {
    let mut reader =
        super::reader::Reader::new(std::collections::BTreeMap::new(), super::reader::Sources::default());
    let _settings = super::sections::read(&mut reader);
    assert_eq!(reader.asked, KEYS);
}
