//! A function says by name what it is given. Two arguments in a tuple are still two, and the limit of clippy does not count
//! them.

use super::{Source, all, nothing, text::tuple_arguments};

fn tuples(source: &Source) -> Vec<String> {
    let found = if source.only_tests { Vec::new() } else { tuple_arguments(source) };
    found.into_iter().map(|name| format!("{}: {name} takes a tuple apart", source.name)).collect()
}

#[test]
fn no_function_hides_its_arguments_in_a_tuple() {
    nothing(&all(tuples));
}

#[test]
fn an_argument_that_is_a_tuple_is_reported() {
    for bad in [
        "fn f((a, b): (A, B)) {}",
        "impl X { async fn f(&self, c: C, (a, b): (&A, B)) -> D {} }",
        "fn f<T: Into<Vec<(u8, u8)>>>(t: T, (a, b): (A, B)) {}",
        "fn f(c: C, #[x] (a, b): (A, B)) {}",
    ] {
        assert_eq!(tuples(&Source::read("x.rs", bad)), ["x.rs: f takes a tuple apart"], "{bad}");
    }
    for good in [
        "fn f(pair: (A, B)) { let (a, b): (A, B) = pair; list.map(|(a, b): (A, B)| a) }",
        "fn f<T: Fn((A, B)) -> C>(t: T, X { a, b }: X) {}",
        "type T = fn((A, B)) -> C;",
        "#[cfg(test)] mod tests { fn f((a, b): (A, B)) {} }",
    ] {
        assert_eq!(tuples(&Source::read("x.rs", good)), [""; 0], "{good}");
    }
}
