//! What a person sees when the house is up: where it is, and what to try.

use std::path::Path;

use super::{DEFAULT_FOLDER, DevFile};

/// Addresses, keys, a line to try, and the demonstration, each line ready to be pasted.
pub(super) fn text(file: &DevFile, folder: &Path) -> String {
    let DevFile { api_url, receiver_url, admin_url, database_url, operator_key, .. } = file;
    let dev_json = folder.join("dev.json");
    let keys: Vec<String> =
        file.tenants.iter().map(|tenant| format!("  {:<13}{}", tenant.tenant_id, tenant.api_key)).collect();
    let mut text = format!(
        "\nTrunkline is up.\n\n\
         api        {api_url}/v1      in a browser: {api_url}/v1/docs\n\
         receiver   {receiver_url}\n\
         admin      {admin_url}/readyz, /metrics\n\
         database   {database_url}\n\
         all of it  {}\n\n\
         API keys\n{}\n  {:<13}{operator_key}\n",
        dev_json.display(),
        keys.join("\n"),
        "(operator)",
    );
    if let Some(first) = file.tenants.first() {
        text.push_str(&to_try(file, &first.tenant_id, &first.api_key, folder));
    }
    text.push_str("\nCtrl-C stops everything.");
    text
}

fn to_try(file: &DevFile, tenant_id: &str, api_key: &str, folder: &Path) -> String {
    let DevFile { api_url, receiver_url, .. } = file;
    // Answers end without a newline, and would run into the prompt.
    let (get, post) = ("curl -sS -w '\\n'", "curl -sS -w '\\n' -X POST");
    let publish = format!(
        "{post} {api_url}/v1/events -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' \
         -d '{{\"type\":\"order.paid\",\"order\":1001}}'"
    );
    // As it was called, which `cargo run` does by its path.
    let program = std::env::args().next().unwrap_or_else(|| "trunkline".to_owned());
    let data_dir = if folder == Path::new(DEFAULT_FOLDER) {
        String::new()
    } else {
        format!(" --data-dir '{}'", folder.display())
    };
    format!(
        "\nTry it: publish an event, and see that the receiver got and verified it\n\n\
         \x20 {publish}\n\
         \x20 sleep 1; {get} {receiver_url}/{tenant_id}/received -H 'Authorization: Bearer {api_key}'\n\
         \x20 {program} events list{data_dir}\n\
         \n\
         The demonstration: switch the receiver off, publish, look (FAILED, attempts 1), switch it on, retry by hand, look\n\
         (DELIVERED, attempts 2). Left alone, the event is tried again by itself after 5 s, 5 min and so on.\n\n\
         \x20 {post} {receiver_url}/{tenant_id}/disable\n\
         \x20 EVENT=$({publish} | grep -o 'evt_[0-9a-f]*'); sleep 1\n\
         \x20 {get} {api_url}/v1/events/$EVENT -H 'Authorization: Bearer {api_key}'\n\
         \x20 {post} {receiver_url}/{tenant_id}/enable\n\
         \x20 {post} {api_url}/v1/events/$EVENT/retry -H 'Authorization: Bearer {api_key}'; sleep 1\n\
         \x20 {get} {api_url}/v1/events/$EVENT -H 'Authorization: Bearer {api_key}'\n"
    )
}
