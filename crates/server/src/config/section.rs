//! Taking a TOML document apart, so that every complaint says file, line, key and what would do.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::{parse_address, replica_id};
use super::{ConfigError, CreateOnAppend, MemberConfig, required};

/// Where the text came from, to say `file:line`.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) text: &'a str,
    pub(super) name: &'a str,
}

impl Place<'_> {
    pub(super) fn at(&self, byte: usize) -> String {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        format!(
            "{}:{}",
            self.name,
            1 + before.iter().filter(|b| **b == b'\n').count()
        )
    }
}

/// A value with what an error about it must say.
pub(super) struct Found<'a> {
    pub(super) value: &'a str,
    pub(super) key: String,
    pub(super) at: String,
}

impl Found<'_> {
    pub(super) fn parse<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        parse(self.value).map_err(|problem| ConfigError::Invalid {
            at: self.at.clone(),
            key: self.key.clone(),
            problem,
        })
    }
}

pub(super) fn pick<'a>(
    over: Option<&'a str>,
    key: &'static str,
    file: Option<Found<'a>>,
) -> Option<Found<'a>> {
    match over {
        Some(value) => Some(Found {
            value,
            key: key.to_owned(),
            at: "the command line".to_owned(),
        }),
        None => file,
    }
}

/// A table of the file whose keys are all known.
pub(super) struct Section<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: &'a str,
    pub(super) table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        place: Place<'a>,
        name: &'a str,
        table: Option<&'a DeTable<'a>>,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let section = Section { place, name, table };
        for (key, _) in table.into_iter().flat_map(|t| t.iter()) {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(ConfigError::UnknownKey {
                    at: place.at(key.span().start),
                    key: section.full(key.get_ref()),
                    suggestion: nearest(key.get_ref(), known).map(|k| section.full(k)),
                });
            }
        }
        Ok(section)
    }

    pub(super) fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.and_then(|t| t.get(key))
    }

    pub(super) fn wrong<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
    ) -> Result<T, ConfigError> {
        Err(ConfigError::Invalid {
            at: self.place.at(value.span().start),
            key: self.full(key),
            problem: format!("must be {wanted}, not a {}", value.get_ref().type_str()),
        })
    }

    pub(super) fn section(
        &self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let table = match self.get(name) {
            None => None,
            Some(value) => match value.get_ref().as_table() {
                Some(table) => Some(table),
                None => return self.wrong(name, value, "a section"),
            },
        };
        Section::new(self.place, name, table, known)
    }

    pub(super) fn found(
        &self,
        key: &str,
        value: &'a str,
        span: std::ops::Range<usize>,
    ) -> Found<'a> {
        Found {
            value,
            key: self.full(key),
            at: self.place.at(span.start),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(self.found(key, text, value.span()))),
            None => self.wrong(key, value, "text in quotes"),
        }
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_integer() {
            Some(number) => Ok(Some(self.found(key, number.as_str(), value.span()))),
            None => self.wrong(key, value, "a number"),
        }
    }

    pub(super) fn text_or_integer(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        match self.get(key) {
            Some(value) if value.get_ref().is_integer() => self.integer(key),
            _ => self.text(key),
        }
    }

    pub(super) fn create_on_append(&self, key: &str) -> Result<CreateOnAppend, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(CreateOnAppend::Never);
        };
        let wanted = "true, false, or a list of beginnings of names";
        match (value.get_ref().as_bool(), value.get_ref().as_array()) {
            (Some(true), _) => Ok(CreateOnAppend::Always),
            (Some(false), _) => Ok(CreateOnAppend::Never),
            (None, Some(list)) => list
                .iter()
                .map(|item| match item.get_ref().as_str() {
                    Some(text) => Ok(text.to_owned()),
                    None => self.wrong(key, item, wanted),
                })
                .collect::<Result<_, _>>()
                .map(CreateOnAppend::Prefixes),
            (None, None) => self.wrong(key, value, wanted),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong(key, value, "a list of texts");
        };
        list.iter()
            .map(|item| match item.get_ref().as_str() {
                Some(text) => Ok(self.found(key, text, item.span())),
                None => self.wrong(key, item, "a list of texts"),
            })
            .collect()
    }

    pub(super) fn members(&self) -> Result<Vec<MemberConfig>, ConfigError> {
        let Some(value) = self.get("members") else {
            return Ok(Vec::new());
        };
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong("members", value, "written as [[members]]");
        };
        let mut members = Vec::new();
        for item in list.iter() {
            let Some(table) = item.get_ref().as_table() else {
                return self.wrong("members", item, "written as [[members]]");
            };
            let member = Section::new(self.place, "members", Some(table), &["id", "replicas"])?;
            let id = member
                .integer("id")?
                .map(|v| v.parse(replica_id))
                .transpose()?;
            members.push(MemberConfig {
                id: required(
                    id,
                    "members.id",
                    "each member's replica id, a number from 1",
                )?,
                replicas: member
                    .texts("replicas")?
                    .iter()
                    .map(|v| v.parse(parse_address))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(members)
    }
}

/// The known word nearest to `word`, if it is near enough to have been meant.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|k| (edit_distance(word, k), *k))
        .min()
        .filter(|(distance, k)| *distance <= 1.max(k.len().min(word.len()) / 3))
        .map(|(_, k)| k)
}

/// Levenshtein's distance, over bytes: keys are ASCII, and a suggestion need not be exact.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(ca != cb))
                .min(above + 1)
                .min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}
