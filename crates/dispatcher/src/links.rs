//! Where a person finds out more about a run: in the consoles of the bucket, the logs, the dashboard.

use std::collections::BTreeMap;
use std::str::FromStr;

use fanfold_flow::keys::JobId;

/// URLs by name, as the deployment gives them. `{job_id}` in one is a run's id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, String>);

impl Links {
    /// The links for this run. An id needs no escaping in a URL.
    pub fn of(&self, job_id: &JobId) -> BTreeMap<String, String> {
        let filled =
            |(name, url): (&String, &String)| (name.clone(), url.replace("{job_id}", job_id.as_str()));
        self.0.iter().map(filled).collect()
    }
}

impl FromStr for Links {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_its_run() {
        let links: Links =
            r#"{ "bucket": "https://x/?prefix=jobs/{job_id}/", "logs": "https://y/" }"#.parse().unwrap();
        let links = links.of(&"run-1".parse().unwrap());
        assert_eq!((&*links["bucket"], &*links["logs"]), ("https://x/?prefix=jobs/run-1/", "https://y/"));
    }
}
