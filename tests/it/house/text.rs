//! Reads Rust as tokens: comments and strings are out of the way, macros are not.

use std::{collections::BTreeSet, iter::Peekable};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree, token_stream};

/// A source file.
pub(super) struct Source {
    /// Its path below `src`.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) only_tests: bool,
    tokens: TokenStream,
}

impl Source {
    pub(super) fn read(name: &str, text: &str) -> Self {
        let tokens = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text: text.to_owned(), only_tests: false, tokens }
    }

    /// The first part of its path: the room.
    pub(super) fn room(&self) -> String {
        self.name.split(['/', '.']).next().unwrap().to_owned()
    }

    /// How many modules lie between it and the crate's root.
    fn depth(&self) -> usize {
        match self.name.as_str() {
            "lib.rs" | "main.rs" => 0,
            name => name.split('/').count(),
        }
    }
}

type Tokens = Peekable<token_stream::IntoIter>;

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_word(token: &TokenTree, wanted: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == wanted)
}

fn group(token: &TokenTree, delimiter: Delimiter) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group),
        TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    }
}

/// The rooms that a file names by a path from the root, in whatever way; `*` is all of them.
pub(super) fn imports(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(source.tokens.clone(), source.depth(), &mut found);
    found
}

fn collect(stream: TokenStream, depth: usize, found: &mut BTreeSet<String>) {
    let mut tokens = stream.into_iter().peekable();
    let mut module = false;
    let mut inner = depth;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Group(group) => {
                collect(group.stream(), inner, found);
                inner = depth;
            }
            TokenTree::Ident(word) if word == "crate" || word == "noshi" => {
                // `pub(crate)` and the like: the word alone.
                if skip_colons(&mut tokens) {
                    rooms(&mut tokens, found);
                } else if tokens.peek().is_some_and(|next| is_word(next, "as")) {
                    found.insert("*".to_owned());
                }
            }
            TokenTree::Ident(word) if word == "super" => climb(&mut tokens, depth, found),
            // The body of `mod name { … }` is one module further down.
            TokenTree::Ident(_) => {
                inner = if module { depth + 1 } else { depth };
                module = is_word(&token, "mod");
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Goes up one module for each `super`; from the root on, what follows is a room.
fn climb(tokens: &mut Tokens, depth: usize, found: &mut BTreeSet<String>) {
    let mut left = depth.saturating_sub(1);
    while skip_colons(tokens) {
        if left == 0 {
            return rooms(tokens, found);
        }
        match tokens.peek() {
            Some(next) if is_word(next, "super") => {
                tokens.next();
                left -= 1;
            }
            Some(_) | None => return,
        }
    }
}

fn skip_colons(tokens: &mut Tokens) -> bool {
    let is = is_punct(tokens.peek(), ':');
    if is {
        tokens.next();
        tokens.next();
    }
    is
}

/// What stands behind `crate::`: a name, a star, or a list of such.
fn rooms(tokens: &mut Tokens, found: &mut BTreeSet<String>) {
    match tokens.peek() {
        Some(TokenTree::Ident(room)) => {
            found.insert(room.to_string());
        }
        Some(TokenTree::Group(list)) => {
            let mut at_start = true;
            for token in list.stream() {
                match &token {
                    TokenTree::Ident(room) if at_start => {
                        found.insert(room.to_string());
                    }
                    TokenTree::Punct(star) if at_start && star.as_char() == '*' => {
                        found.insert("*".to_owned());
                    }
                    TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => {}
                }
                at_start = is_punct(Some(&token), ',');
            }
            // The list's own paths are relative to its members.
            tokens.next();
        }
        Some(TokenTree::Punct(_) | TokenTree::Literal(_)) | None => {
            found.insert("*".to_owned());
        }
    }
}

/// The tokens that are not of `#[cfg(test)]` items, flat.
fn shipped(stream: TokenStream, flat: &mut Vec<TokenTree>) {
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') && tokens.peek().is_some_and(is_cfg_test) {
            skip_item(&mut tokens);
            continue;
        }
        if let TokenTree::Group(group) = &token {
            shipped(group.stream(), flat);
        } else {
            flat.push(token);
        }
    }
}

fn is_cfg_test(token: &TokenTree) -> bool {
    group(token, Delimiter::Bracket).is_some_and(|group| group.stream().to_string().replace(' ', "") == "cfg(test)")
}

fn flat(source: &Source) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    shipped(source.tokens.clone(), &mut flat);
    flat
}

/// The types and traits that a file declares, its tests apart. What an `impl` or a `trait` calls its associated types is
/// settled by the trait.
pub(super) fn declared(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.only_tests {
        collect_declared(source.tokens.clone(), false, &mut found);
    }
    found
}

fn collect_declared(stream: TokenStream, associated: bool, found: &mut Vec<String>) {
    let mut tokens = stream.into_iter().peekable();
    // Whether the next body is that of an `impl` or a `trait`.
    let mut associates = false;
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') && tokens.peek().is_some_and(is_cfg_test) {
            skip_item(&mut tokens);
            continue;
        }
        match &token {
            TokenTree::Ident(word) => {
                let declares = word == "struct" || word == "enum" || word == "trait" || (word == "type" && !associated);
                if let (true, Some(TokenTree::Ident(name))) = (declares, tokens.peek()) {
                    found.push(name.to_string());
                }
                associates |= word == "impl" || word == "trait";
            }
            TokenTree::Group(body) => {
                let is_body = body.delimiter() == Delimiter::Brace;
                collect_declared(body.stream(), is_body && associates, found);
                associates &= !is_body;
            }
            TokenTree::Punct(mark) => associates &= mark.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
}

/// The rooms from which a file imports this name by `use`, its tests apart.
pub(super) fn imported(source: &Source, name: &str) -> Vec<String> {
    let mut tokens = source.tokens.clone().into_iter().peekable();
    let mut found = Vec::new();
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') && tokens.peek().is_some_and(is_cfg_test) {
            skip_item(&mut tokens);
        } else if is_word(&token, "use") {
            let path = tokens.by_ref().take_while(|part| !is_punct(Some(part), ';')).collect();
            let rooms = leaves(path, &[]).into_iter().filter(|leaf| {
                leaf.first().is_some_and(|root| root == "crate") && leaf.last().is_some_and(|last| last == name)
            });
            found.extend(rooms.filter_map(|leaf| leaf.get(1).cloned()));
        }
    }
    found
}

/// Every path of a `use` tree, word by word.
fn leaves(tree: TokenStream, before: &[String]) -> Vec<Vec<String>> {
    let (mut found, mut path) = (Vec::new(), before.to_vec());
    for token in tree {
        match &token {
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(list) => {
                found.extend(leaves(list.stream(), &path));
                path.clear();
            }
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                found.push(std::mem::replace(&mut path, before.to_vec()))
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found.push(path);
    found
}

/// Goes past an item: up to its body or its semicolon.
fn skip_item(tokens: &mut Tokens) {
    for part in tokens.by_ref() {
        if group(&part, Delimiter::Brace).is_some() || is_punct(Some(&part), ';') {
            break;
        }
    }
}

/// Whether a file names this word, its tests apart.
pub(super) fn mentions(source: &Source, word: &str) -> bool {
    flat(source).iter().any(|token| is_word(token, word))
}

/// How often a file names this function, its tests and the definition apart.
pub(super) fn sites(source: &Source, word: &str) -> usize {
    let flat = flat(source);
    let defined = flat.windows(2).filter(|pair| is_word(&pair[0], "fn") && is_word(&pair[1], word)).count();
    flat.iter().filter(|token| is_word(token, word)).count() - defined
}

/// The functions that take an argument apart as a tuple, tests apart.
pub(super) fn tuple_arguments(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    collect_tuples(source.tokens.clone(), &mut found);
    found
}

fn collect_tuples(stream: TokenStream, found: &mut Vec<String>) {
    let mut tokens = stream.into_iter().peekable();
    // The function whose arguments come next.
    let mut named = None;
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') && tokens.peek().is_some_and(is_cfg_test) {
            skip_item(&mut tokens);
            continue;
        }
        match &token {
            TokenTree::Ident(word) if word == "fn" => {
                named = tokens.next_if(|next| matches!(next, TokenTree::Ident(_))).map(|name| name.to_string());
                if is_punct(tokens.peek(), '<') {
                    skip_generics(&mut tokens);
                }
            }
            TokenTree::Group(arguments) => {
                let name = named.take().filter(|_name| arguments.delimiter() == Delimiter::Parenthesis);
                found.extend(name.filter(|_name| has_tuple(arguments.stream())));
                collect_tuples(arguments.stream(), found);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Goes past `<…>`; the `>` of an arrow closes nothing.
fn skip_generics(tokens: &mut Tokens) {
    let (mut depth, mut arrow) = (0_usize, false);
    for token in tokens.by_ref() {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '<' => depth += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' && !arrow => depth -= 1,
            TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Group(_) | TokenTree::Literal(_) => {}
        }
        arrow = is_punct(Some(&token), '-');
        if depth == 0 {
            return;
        }
    }
}

fn has_tuple(arguments: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    let is_tuple = |pair: &[TokenTree]| group(&pair[0], Delimiter::Parenthesis).is_some() && is_punct(pair.get(1), ':');
    tokens.windows(2).any(is_tuple)
}

/// Whether an attribute anywhere allows a lint.
pub(super) fn forbidden_attributes(source: &Source) -> bool {
    allows(source.tokens.clone(), false)
}

fn allows(stream: TokenStream, in_attribute: bool) -> bool {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| {
        let marked = at.checked_sub(1).is_some_and(|before| {
            let negated = is_punct(tokens.get(before), '!');
            is_punct(tokens.get(if negated { before.saturating_sub(1) } else { before }), '#')
        });
        match token {
            TokenTree::Group(group) => {
                let attribute = marked && group.delimiter() == Delimiter::Bracket;
                allows(group.stream(), in_attribute || attribute)
            }
            TokenTree::Ident(word) => in_attribute && word == "allow",
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        }
    })
}

/// Marks the files that `#[cfg(test)] mod name;` declares, whoever may see them, and what lies below them.
pub(super) fn mark_tests(sources: &mut [Source]) {
    let mut folders = Vec::new();
    for source in sources.iter() {
        let public = |token: &TokenTree| is_word(token, "pub");
        let tokens: Vec<TokenTree> = source.tokens.clone().into_iter().filter(|token| !public(token)).collect();
        for at in 0..tokens.len().saturating_sub(3) {
            if is_cfg_test(&tokens[at]) && is_word(&tokens[at + 1], "mod") && is_punct(tokens.get(at + 3), ';') {
                folders.push(format!("{}/{}", source.name.trim_end_matches(".rs"), tokens[at + 2]));
            }
        }
    }
    let below = |name: &str| {
        folders.iter().any(|folder| name.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with(['/', '.'])))
    };
    sources.iter_mut().for_each(|source| source.only_tests = below(&source.name));
}

/// The names of the fields of every line that a file logs, its tests apart. The message, and what it is made of, is none.
pub(super) fn logged(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    collect_logged(source.tokens.clone(), &mut found);
    found
}

fn collect_logged(stream: TokenStream, found: &mut Vec<String>) {
    let mut tokens = stream.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') && tokens.peek().is_some_and(is_cfg_test) {
            skip_item(&mut tokens);
            continue;
        }
        let levels = ["trace", "debug", "info", "warn", "error", "event", "span"];
        let spans = ["trace_span", "debug_span", "info_span", "warn_span", "error_span"];
        let macros = levels.iter().chain(&spans);
        let logs = matches!(&token, TokenTree::Ident(word) if macros.into_iter().any(|name| word == name));
        if logs && is_punct(tokens.peek(), '!') {
            tokens.next();
            if let Some(TokenTree::Group(arguments)) = tokens.peek() {
                found.extend(fields(arguments.stream()));
            }
        }
        if let TokenTree::Group(group) = &token {
            collect_logged(group.stream(), found);
        }
    }
}

/// Names before `=`, or alone, up to the message.
fn fields(arguments: TokenStream) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    for token in arguments {
        if is_punct(Some(&token), ',') {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(token);
        }
    }
    parts.push(part);
    let named = parts.into_iter().filter(|part| !part.is_empty());
    let fields = named.take_while(|part| !matches!(part[0], TokenTree::Literal(_)));
    let name = |part: Vec<TokenTree>| -> String {
        let marks = part.iter().skip_while(|token| is_punct(Some(token), '%') || is_punct(Some(token), '?'));
        let name = marks.take_while(|token| matches!(token, TokenTree::Ident(_)) || is_punct(Some(token), '.'));
        name.map(ToString::to_string).collect()
    };
    // `target: "…"` is no field.
    let is_field = |part: &Vec<TokenTree>| !is_punct(part.get(1), ':');
    fields.filter(is_field).map(name).collect()
}
