//! The description of the API (OpenAPI 3.1): it is whole, it is the one that is committed, and people can read it. That each answer of
//! the service is in it, `support::described` asks in every other test. `tests/openapi` has what tools of others say.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    process::noshi,
    reach::{ROWS, routes},
    support::{
        Answer, App, Backend,
        described::{COMMITTED, api, operation, resolved},
        on_each_backend,
    },
};

#[test]
fn the_description_that_is_committed_is_the_one_that_the_program_prints() {
    let printed = noshi().arg("openapi").output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed == COMMITTED, "write it anew: noshi openapi > clients/noshi/openapi.json");
    assert_eq!(serde_json::to_value(noshi::server::openapi()).unwrap(), *api());
    assert_eq!(api()["openapi"], "3.1.0");
}

#[test]
fn every_route_is_described_with_its_scope_and_nothing_else_is() {
    let (mut described, mut strangers) = (BTreeSet::new(), Vec::new());
    for (pattern, item) in api()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Amazon's own has no key, and no answer about one.
            let Some(scopes) = operation["security"][0]["api_key"].as_array() else {
                let answers = operation["responses"].as_object().unwrap();
                assert!(!answers.contains_key("401"), "{method} {pattern}");
                strangers.push(pattern.clone());
                continue;
            };
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str().unwrap()).collect();
            described.insert((method.to_uppercase(), pattern.clone(), scopes.first().copied().unwrap_or_default()));
        }
    }
    let rows =
        ROWS.iter().map(|(method, pattern, scope, _subject)| ((*method).to_owned(), (*pattern).to_owned(), *scope));
    assert_eq!(described, rows.collect::<BTreeSet<_>>());
    let of_source = routes::of_source().into_iter().filter(|route| route.method != "HEAD").count();
    assert_eq!(strangers, ["/v1/pay/notifications/{account}"]);
    assert_eq!(described.len() + strangers.len(), of_source);
}

#[test]
fn the_message_that_a_receiver_is_sent_is_described_as_a_webhook() {
    let receive = &api()["webhooks"]["event"]["post"];
    let headers: Vec<&str> =
        receive["parameters"].as_array().unwrap().iter().map(|header| header["name"].as_str().unwrap()).collect();
    assert_eq!(headers, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    let schema = &receive["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/WebhookMessage");
    assert!(api()["components"]["schemas"]["WebhookMessage"]["properties"]["data"].is_object());
}

/// What a reader needs and does not find in a part of the description.
fn gaps(at: &str, part: &Value, found: &mut Vec<String>) {
    if let Some(properties) = part["properties"].as_object() {
        for (name, property) in properties {
            // Of one that may be null the alternative is explained.
            let explained = if property["oneOf"].is_array() { &property["oneOf"][0] } else { property };
            if explained["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{at}/{name} has no description"));
            }
            gaps(&format!("{at}/{name}"), property, found);
        }
    }
}

#[test]
fn every_operation_field_and_header_is_explained() {
    let mut found = Vec::new();
    for (name, schema) in api()["components"]["schemas"].as_object().unwrap() {
        gaps(name, schema, &mut found);
    }
    for (pattern, item) in api()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {pattern}");
            let mut needs = vec![("summary", &operation["summary"]), ("operationId", &operation["operationId"])];
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                needs.push(("description of a parameter", &parameter["description"]));
            }
            for (status, answer) in operation["responses"].as_object().unwrap() {
                needs.push(("description of an answer", &answer["description"]));
                // It is the status of an answer without a body.
                if status == "204" {
                    continue;
                }
                let body = &answer["content"].as_object().unwrap_or_else(|| panic!("{at}: {status} has no body"));
                assert!(body.values().all(|content| !content["schema"].is_null()), "{at}: {status}");
                for header in answer["headers"].as_object().unwrap().values() {
                    needs.push(("description of a header", &resolved(header)["description"]));
                }
            }
            for (what, text) in needs {
                if text.as_str().is_none_or(str::is_empty) {
                    found.push(format!("{at} has no {what}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_problem_of_an_operation_is_a_code_of_ours_with_an_example() {
    let examples = api()["components"]["examples"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for item in api()["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let own = operation["x-problems"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
            for word in own {
                let status = &examples.get(word).unwrap_or_else(|| panic!("{word} is no code"))["value"]["status"];
                let listed =
                    &operation["responses"][status.to_string()]["content"]["application/problem+json"]["examples"];
                assert!(listed.get(word).is_some(), "{word} is in no answer of {}", operation["operationId"]);
            }
            for answer in operation["responses"].as_object().unwrap().values() {
                let listed = answer["content"]["application/problem+json"]["examples"].as_object();
                used.extend(listed.into_iter().flatten().map(|(word, _example)| word.clone()));
            }
        }
    }
    let known: BTreeSet<String> = examples.keys().cloned().collect();
    assert_eq!(used, known, "a code is of no operation");
    let of_service: BTreeSet<String> = noshi::server::problem_codes().map(|code| code.as_str().to_owned()).collect();
    let elsewhere: Vec<&String> = of_service.difference(&known).collect();
    assert_eq!(elsewhere, ["forbidden", "method-not-allowed"], "those are of no operation");
}

#[test]
fn a_path_that_is_a_word_is_not_taken_for_a_parameter() {
    assert_eq!(operation("POST", "/v1/rewards/validate").unwrap()["operationId"], "validate_reward");
    assert_eq!(operation("HEAD", "/v1/rewards/rwd_1").unwrap()["operationId"], "get_reward");
    assert!(operation("DELETE", "/v1/rewards").is_none());
}

on_each_backend! {
    /// No key is needed: nothing in it is a secret.
    async fn people_and_programs_read_the_description_without_a_key_and_offline(backend: Backend) {
        let app = App::spawn(backend).await;
        let read = async |path: &str| Answer::of(app.anonymous("GET", path)).await;
        let description = read("/openapi.json").await;
        assert_eq!((description.status, description.header("content-type")), (200, "application/json"));
        assert_eq!(description.json, *api());
        let page = read("/docs/").await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html"), "{}", page.text);
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!page.text.contains("//"), "it loads something from elsewhere: {}", page.text);
        let files: Vec<&str> = page.text.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css")).collect();
        assert!(files.len() >= 4, "{files:?}");
        for file in files {
            let found = read(&format!("/docs/{}", file.trim_start_matches("./"))).await;
            assert!(found.status == 200 && !found.text.is_empty(), "{file}");
        }
        let settings = read("/docs/swagger-initializer.js").await;
        assert!(settings.text.contains("/openapi.json"), "{}", settings.text);
        read("/docs/nothing.js").await.is_problem(404, "not-found");
        app.end().await;
    }

    async fn the_type_of_every_problem_leads_to_a_page_about_it(backend: Backend) {
        let app = App::spawn(backend).await;
        for code in noshi::server::problem_codes() {
            let page = Answer::of(app.anonymous("GET", &format!("/problems/{}", code.as_str()))).await;
            assert_eq!(page.status, 200, "{}", page.text);
            assert!(page.text.starts_with(&format!("{}: ", code.as_str())), "{}", page.text);
        }
        let missing = app.get("/v1/rewards/rwd_00000000000070008000000000000000").await;
        missing.is_problem(404, "not-found");
        assert_eq!(missing.json["type"], "/problems/not-found");
        Answer::of(app.anonymous("GET", "/problems/nothing")).await.is_problem(404, "not-found");
        app.end().await;
    }
}
