//! Lists, page by page.

use serde::Deserialize;
use serde_json::Value;

use super::{Ask, ServiceClient, ServiceError};

/// A page of a list.
#[derive(Deserialize)]
pub(crate) struct ListPage {
    /// Its entries, as the service wrote them.
    pub(crate) data: Vec<Value>,
    /// Where the next one begins.
    pub(crate) next_cursor: Option<String>,
}

/// Walks through a list.
pub(crate) struct ListWalk<'a> {
    service: &'a ServiceClient,
    path: &'a [&'a str],
    query: Vec<(&'a str, Option<String>)>,
    cursor: Option<String>,
    /// How many are still wanted.
    left: usize,
    ended: bool,
}

/// A page of the service has this many at most.
const PAGE_MAX: usize = 200;

impl<'a> ListWalk<'a> {
    /// The list at this path, `wanted` of it.
    pub(crate) fn new(
        service: &'a ServiceClient,
        path: &'a [&'a str],
        query: Vec<(&'a str, Option<String>)>,
        wanted: usize,
    ) -> Self {
        Self { service, path, query, cursor: None, left: wanted, ended: false }
    }

    /// All that is left of it.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub(crate) async fn all(mut self) -> Result<Vec<Value>, ServiceError> {
        let mut all = Vec::new();
        while let Some(mut page) = self.next().await? {
            all.append(&mut page);
        }
        Ok(all)
    }

    /// The next page; `None` after the last. A page may be empty, and others follow.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Value>>, ServiceError> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let size = self.left.min(PAGE_MAX).to_string();
        let ask = Ask::get(self.path).query(self.query.iter().cloned());
        let ask = ask.query([("limit", Some(size)), ("cursor", self.cursor.take())]);
        let ListPage { mut data, next_cursor } = self.service.ask(&ask).await?.json()?;
        data.truncate(self.left);
        self.left = self.left.saturating_sub(data.len());
        self.ended = next_cursor.is_none();
        self.cursor = next_cursor;
        Ok(Some(data))
    }
}
