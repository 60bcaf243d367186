use std::path::Path;

use quantrain::RunDirectory;
use quantrain::statistics::{Histogram, LayerStatistics, TensorStatistics};
use serde_json::json;

use super::*;

fn tensor(name: &str, bits: u8, sqnr: f64, above: f64) -> TensorStatistics {
    let histogram = Histogram::around(0.0, 1.0);
    TensorStatistics {
        tensor: name.into(),
        bits,
        scale: 0.1,
        zero_point: 0,
        range: [0.0, 1.0],
        sqnr: Some(sqnr),
        below: 0.0,
        above,
        codes_used: 9,
        codes: 16,
        histogram,
    }
}

fn layer(node: &str, inputs: Vec<usize>, tensor: usize) -> LayerStatistics {
    LayerStatistics {
        node: node.into(),
        operators: vec!["Conv".into()],
        shape: vec![1, 8],
        inputs,
        multiply_accumulates: 64,
        tensor: Some(tensor),
        float: None,
        weights: None,
    }
}

fn run() -> Run {
    let statistics = NetworkStatistics {
        images: 4,
        layers: vec![layer("first", vec![], 0), layer("</script>\u{202e}", vec![0], 1), layer("last", vec![1], 2)],
        tensors: vec![tensor("a", 4, 38.0, 0.0), tensor("b", 4, 15.0, 0.02), tensor("c", 4, 14.0, 0.0)],
        float_bytes: 400,
        quantized_bytes: 100,
    };
    let summary = json!({
        "model": "net.onnx", "float": { "top1": 90.0, "images": 10 }, "ptq": { "top1": 80.0, "images": 10 },
        "exported": { "network": "calibrated", "score": { "top1": 80.0, "images": 10 } }
    });
    Run {
        name: "runs/a".into(),
        summary,
        metrics: vec![],
        statistics: Some(statistics),
        recipe: "out = 'runs/a'\n[train]\nepochs = 1\n".into(),
    }
}

/// What the page's script will read.
fn data(page: &str) -> Value {
    let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    serde_json::from_str(&page[start..start + page[start..].find("</script>").unwrap()]).unwrap()
}

#[test]
fn the_page_holds_the_figures_of_the_run_and_loads_nothing() {
    let page = page(&[run()]).unwrap();
    let data = data(&page);
    assert_eq!(data["runs"][0]["summary"], run().summary);
    assert_eq!(data["runs"][0]["statistics"]["tensors"][1]["sqnr"], 15.0);
    assert_eq!(data["runs"][0]["statistics"]["layers"][1]["node"], "</script>\u{202e}", "a name cannot end the script");
    for forbidden in ["http://", "https://", "src=", "@import", "@DATA@", "@STYLE@", "@SCRIPT@", "@TITLE@"] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
        assert!(!found, "{forbidden}");
    }
}

#[test]
fn the_layer_that_adds_noise_is_named_and_not_the_one_behind_it() {
    let found = advice(&run());
    assert_eq!(found.len(), 3);
    assert!(found[0].text.contains("10.00 points") && found[0].recipe.contains("[refine]"), "{found:?}");
    assert!(found[1].text.starts_with("</script>") && found[1].recipe.contains("activation-bits = 8"), "{found:?}");
    assert!(found[2].text.contains("2.0 % of `b`"), "{found:?}");
    // What is to be pasted is TOML.
    found.iter().for_each(|advice| assert!(advice.recipe.parse::<toml::Table>().is_ok(), "{}", advice.recipe));
}

#[test]
fn a_run_that_lost_nothing_gets_no_advice() {
    let mut good = run();
    good.summary["exported"]["score"]["top1"] = json!(89.9);
    assert_eq!(advice(&good), []);
}

#[test]
fn recipes_are_compared_key_by_key() {
    let mut other = run();
    other.recipe = "out = 'runs/b'\nseed = 7\n[train]\nepochs = 2\n".into();
    let found = differences(&[run(), other.clone()]).unwrap();
    let expected = [("seed", [None, Some("7")]), ("train.epochs", [Some("1"), Some("2")])];
    let expected = expected.map(|(key, values)| Difference { key: key.into(), values: values.map(|v| v.map(str::to_owned)).to_vec() });
    assert_eq!(found, expected);
    other.recipe = "[train".into();
    assert!(matches!(differences(&[other]), Err(ReportError::Recipe { .. })));
}

#[test]
fn a_long_log_is_thinned_and_keeps_its_end() {
    let lines: Vec<Value> = (0..2501).map(|i| json!(i)).collect();
    let kept = thinned(lines);
    assert!(kept.len() <= LOG_LINES && kept.last() == Some(&json!(2500)), "{}", kept.len());
    assert_eq!(thinned(vec![json!(1)]), [json!(1)]);
    assert!(thinned(vec![]).is_empty());
}

#[test]
fn each_missing_or_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    assert!(matches!(Run::read(&path), Err(ReportError::Run(_))));
    let directory = RunDirectory::create(&path).unwrap();
    let file_of = |error: ReportError| match error {
        ReportError::Read { file, .. } | ReportError::Json { file, .. } => file.file_name().unwrap().to_owned(),
        other => panic!("{other}"),
    };
    assert_eq!(file_of(Run::read(&path).unwrap_err()), "summary.json");
    directory.write_summary("text", &run().summary).unwrap();
    assert_eq!(file_of(Run::read(&path).unwrap_err()), "recipe.toml");
    directory.write_recipe("seed = 1\n").unwrap();
    assert_eq!(Run::read(&path).unwrap().summary, run().summary);
    let damage = |file: &Path| std::fs::write(file, "{").unwrap();
    damage(&directory.metrics());
    assert_eq!(file_of(Run::read(&path).unwrap_err()), "metrics.jsonl");
    std::fs::remove_file(directory.metrics()).unwrap();
    damage(&directory.statistics());
    assert_eq!(file_of(Run::read(&path).unwrap_err()), "statistics.json");
    assert!(matches!(page(&[]), Err(ReportError::NoRun)));
}
