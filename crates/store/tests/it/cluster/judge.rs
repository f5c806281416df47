//! What Citus could not route, found in a statement's syntax tree. The rules are those of its router planner, which docs/OPERATIONS.md
//! names; each of its names below is the refusal that a rule foresees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Ident, Insert, JoinConstraint,
    JoinOperator, ObjectName, OnConflictAction, OnInsert, Query, SetExpr, Statement, TableFactor,
    TableObject, TableWithJoins, Update, UpdateTableFromKind, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// Where a table lies on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Each row in the shard of its lane.
    Distributed,
    /// On every node.
    Reference,
    /// On the coordinator.
    Local,
}

/// What the rules need to know of the schema.
pub(super) struct Schema {
    /// Tables and views of the schema trunkline.
    pub(super) places: BTreeMap<String, Place>,
    /// Functions by name, with their volatility: `i`, `s` or `v`.
    pub(super) volatility: BTreeMap<String, char>,
    pub(super) enums: BTreeSet<String>,
    /// Functions of ours that every node has.
    pub(super) spread: BTreeSet<String>,
}

/// The faults of a statement; none = it goes to one node, or in parts that each do.
pub(super) fn faults(schema: &Schema, sql: &str) -> Vec<String> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)
        .unwrap_or_else(|error| panic!("the parser does not know this statement: {error}\n{sql}"));
    let mut judge = Judge { schema, faults: Vec::new(), lanes: BTreeSet::new(), seen: BTreeMap::new() };
    let _ = statements.visit(&mut judge);
    judge.end();
    judge.faults
}

/// Whether a statement names a distributed table.
pub(super) fn concerns(schema: &Schema, sql: &str) -> bool {
    let named = |(name, place): (&String, &Place)| {
        *place == Place::Distributed
            && sql.match_indices(&format!("trunkline.{name}")).any(|(at, found)| {
                // Not `deliveries_due`, and not a name in quotes.
                !sql[at + found.len()..]
                    .starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '\'')
            })
    };
    schema.places.iter().any(named)
}

struct Judge<'a> {
    schema: &'a Schema,
    faults: Vec<String>,
    /// The parameters by which lanes are named: one, or two shards could be meant.
    lanes: BTreeSet<String>,
    seen: BTreeMap<String, Place>,
}

impl Judge<'_> {
    fn fault(&mut self, why: impl Into<String>) {
        self.faults.push(why.into());
    }

    fn end(&mut self) {
        if self.lanes.len() > 1 {
            self.fault(format!("lanes are named by several parameters: {:?}", self.lanes));
        }
        let of = |place| {
            self.seen.iter().filter(move |(_, found)| **found == place).map(|(name, _)| name.as_str())
        };
        if let (Some(local), Some(distributed)) = (of(Place::Local).next(), of(Place::Distributed).next()) {
            // "Local tables cannot be used in distributed queries."
            self.fault(format!("{local} lies on the coordinator only, {distributed} does not"));
        }
    }

    /// Every distributed table that a FROM names must say by itself which lanes it is about: what follows from a join is not seen.
    fn scope(&mut self, relations: &[(String, Option<Place>, Ident)], conditions: &[&Expr]) {
        let ours = relations.iter().filter(|(_, place, _)| *place == Some(Place::Distributed)).count();
        for (name, place, alias) in relations {
            let Some(place) = place else { continue };
            self.seen.insert(name.clone(), *place);
            if *place != Place::Distributed {
                continue;
            }
            let named = conditions.iter().find_map(|condition| lane_parameter(condition, alias, ours == 1));
            match named {
                Some(parameter) => {
                    self.lanes.insert(parameter);
                }
                // "Router planner cannot handle multi-shard select queries"
                None => self.fault(format!("{name} AS {alias} does not say which lanes it is about")),
            }
        }
    }

    fn relations(&self, from: &[&TableWithJoins]) -> Vec<(String, Option<Place>, Ident)> {
        let mut relations = Vec::new();
        for part in from {
            let factors = std::iter::once(&part.relation).chain(part.joins.iter().map(|join| &join.relation));
            for factor in factors {
                match factor {
                    TableFactor::Table { name, alias, args: None, .. } => {
                        let (table, place) = self.place(name);
                        let alias =
                            alias.as_ref().map_or_else(|| Ident::new(&table), |alias| alias.name.clone());
                        relations.push((table, place, alias));
                    }
                    TableFactor::NestedJoin { table_with_joins, .. } => {
                        relations.extend(self.relations(&[table_with_joins.as_ref()]));
                    }
                    _ => {}
                }
            }
        }
        relations
    }

    /// `None` = a name of the statement's own, or of PostgreSQL.
    fn place(&self, name: &ObjectName) -> (String, Option<Place>) {
        let words: Vec<String> = name.to_string().split('.').map(str::to_owned).collect();
        match words.as_slice() {
            [schema, table] if schema == "trunkline" => {
                let place = self.schema.places.get(table);
                (table.clone(), Some(*place.unwrap_or_else(|| panic!("there is no trunkline.{table}"))))
            }
            _ => (name.to_string(), None),
        }
    }

    fn update(&mut self, update: &Update) {
        let mut from = vec![&update.table];
        if let Some(UpdateTableFromKind::AfterSet(more)) = &update.from {
            from.extend(more);
        }
        self.change(&from, update.selection.as_ref(), &update.assignments);
    }

    fn delete(&mut self, delete: &Delete) {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let from: Vec<&TableWithJoins> = from.iter().chain(delete.using.iter().flatten()).collect();
        self.change(&from, delete.selection.as_ref(), &[]);
    }

    fn change(&mut self, from: &[&TableWithJoins], selection: Option<&Expr>, assignments: &[Assignment]) {
        let relations = self.relations(from);
        self.scope(&relations, &conditions(from, selection));
        let target = relations.first().and_then(|(_, place, _)| *place);
        if target == Some(Place::Reference) && self.names_distributed(selection) {
            // "only reference tables may be queried when targeting a reference table"
            self.fault("changes a table of every node by what lies on one");
        }
        if target.is_none_or(|place| place == Place::Local) {
            return;
        }
        for assignment in assignments {
            self.keeps_lane(assignment);
            self.is_computable(&assignment.value, "an UPDATE");
        }
        if let Some(selection) = selection {
            self.is_computable(selection, "the condition of a change");
        }
    }

    fn insert(&mut self, insert: &Insert) {
        let TableObject::TableName(name) = &insert.table else { return };
        let (table, place) = self.place(name);
        let Some(place) = place else { return };
        self.seen.insert(table.clone(), place);
        if place != Place::Distributed {
            return;
        }
        if !insert.columns.iter().any(|column| column.to_string() == "lane") {
            self.fault(format!("a row of {table} is inserted without its lane"));
        }
        let is_query =
            insert.source.as_ref().is_some_and(|source| !matches!(*source.body, SetExpr::Values(_)));
        if is_query && insert.returning.is_none() && insert.on.is_none() {
            // Without these two, rows go to a shard by COPY: "COPY FROM not supported with row-level security"
            self.fault(format!(
                "what is inserted into {table} returns nothing, and is copied past row security"
            ));
        }
        if let Some(OnInsert::OnConflict(conflict)) = &insert.on
            && let OnConflictAction::DoUpdate(update) = &conflict.action
        {
            for assignment in &update.assignments {
                self.keeps_lane(assignment);
                self.calls_only(&assignment.value, "i", "ON CONFLICT");
            }
        }
    }

    fn keeps_lane(&mut self, assignment: &Assignment) {
        // "modifying the partition value of rows is not allowed"
        if matches!(&assignment.target, AssignmentTarget::ColumnName(name) if name.to_string() == "lane") {
            self.fault("changes the lane of a row");
        }
    }

    /// "functions used in UPDATE queries on distributed tables must not be VOLATILE", "STABLE functions used in UPDATE queries cannot be
    /// called with column references"
    fn is_computable(&mut self, expression: &Expr, place: &str) {
        self.calls_only(expression, "is", place);
        let mut found = Vec::new();
        let enums = &self.schema.enums;
        let volatility = &self.schema.volatility;
        each(expression, &mut |one| match one {
            Expr::Cast { expr, data_type, .. } => {
                let name = data_type.to_string();
                if enums.contains(name.trim_start_matches("trunkline.")) && has_column(expr) {
                    found.push(format!("{place} reads a column as {name}, which is not immutable"));
                }
            }
            Expr::Function(function)
                if has_column(one) && volatility.get(&last(&function.name)) == Some(&'s') =>
            {
                found.push(format!("{place} calls {} with a column", function.name));
            }
            _ => {}
        });
        self.faults.extend(found);
    }

    fn calls_only(&mut self, expression: &Expr, allowed: &str, place: &str) {
        let mut found = Vec::new();
        let volatility = &self.schema.volatility;
        each(expression, &mut |one| {
            if let Expr::Function(function) = one
                && let Some(class) = volatility.get(&last(&function.name))
                && !allowed.contains(*class)
            {
                found.push(format!("{place} calls {}, whose volatility is {class}", function.name));
            }
        });
        self.faults.extend(found);
    }

    fn names_distributed(&self, selection: Option<&Expr>) -> bool {
        selection.is_some_and(|selection| concerns(self.schema, &selection.to_string()))
    }
}

impl Visitor for Judge<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        selects(&query.body, &mut |select| {
            let from: Vec<&TableWithJoins> = select.from.iter().collect();
            let relations = self.relations(&from);
            self.scope(&relations, &conditions(&from, select.selection.as_ref()));
        });
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Insert(insert) => self.insert(insert),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression {
            self.is_spread(&function.name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Function { name, .. } | TableFactor::Table { name, args: Some(_), .. } = factor {
            self.is_spread(name);
        }
        ControlFlow::Continue(())
    }
}

impl Judge<'_> {
    /// A function that a statement calls may be called where a shard is.
    fn is_spread(&mut self, name: &ObjectName) {
        let text = name.to_string();
        if let Some(function) = text.strip_prefix("trunkline.")
            && !self.schema.spread.contains(function)
        {
            self.fault(format!("the nodes do not have {text}"));
        }
    }
}

fn selects<'a>(body: &'a SetExpr, look: &mut impl FnMut(&'a sqlparser::ast::Select)) {
    match body {
        SetExpr::Select(select) => look(select),
        SetExpr::SetOperation { left, right, .. } => {
            selects(left, look);
            selects(right, look);
        }
        // Queries and statements inside are visited by themselves.
        _ => {}
    }
}

/// What holds for all rows: the parts of WHERE and of every ON that are joined by AND.
fn conditions<'a>(from: &[&'a TableWithJoins], selection: Option<&'a Expr>) -> Vec<&'a Expr> {
    let on = from.iter().flat_map(|part| &part.joins).filter_map(|join| match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => match constraint {
            JoinConstraint::On(on) => Some(on),
            _ => None,
        },
        _ => None,
    });
    let mut parts = Vec::new();
    for condition in on.chain(selection) {
        conjuncts(condition, &mut parts);
    }
    parts
}

fn conjuncts<'a>(condition: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        Expr::Nested(inner) => conjuncts(inner, parts),
        other => parts.push(other),
    }
}

/// `lane = $1`, `lane = ANY($1)` or `($1::smallint[] IS NULL OR lane = ANY($1))` of that table: the parameter.
fn lane_parameter(condition: &Expr, alias: &Ident, is_only: bool) -> Option<String> {
    let is_lane = |expression: &Expr| match expression {
        Expr::Identifier(name) => is_only && name.value == "lane",
        Expr::CompoundIdentifier(names) => {
            matches!(names.as_slice(), [table, column] if table.value == alias.value && column.value == "lane")
        }
        _ => false,
    };
    let parameter = |expression: &Expr| {
        let text = expression.to_string();
        text.starts_with('$').then_some(text)
    };
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_lane(left) => parameter(right),
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if is_lane(left) => parameter(right),
        // With NULL, on plain PostgreSQL, it is gone from every plan that knows its parameters.
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            let lanes = lane_parameter(right, alias, is_only)?;
            (left.to_string() == format!("{lanes}::SMALLINT[] IS NULL")).then_some(lanes)
        }
        _ => None,
    }
}

fn last(name: &ObjectName) -> String {
    name.to_string().rsplit('.').next().unwrap_or_default().to_lowercase()
}

fn has_column(expression: &Expr) -> bool {
    let mut found = false;
    each(expression, &mut |one| found |= matches!(one, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
    found
}

/// Every expression inside, without those of subqueries.
fn each(expression: &Expr, look: &mut impl FnMut(&Expr)) {
    struct Each<'a, F>(&'a mut F, usize);
    impl<F: FnMut(&Expr)> Visitor for Each<'_, F> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, one: &Expr) -> ControlFlow<()> {
            if self.1 == 0 {
                (self.0)(one);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expression.visit(&mut Each(look, 0));
}
