// Validates objects of operators, which Kubernetes' own schemas do not know, by the schemas of the operators' definitions:
// a JSON array of objects on standard input; those of nobody listed here are passed over.
import { readFileSync } from "node:fs";

const packages = {
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  "external-secrets.io": "@kubernetes-models/external-secrets",
};

for (const object of JSON.parse(readFileSync(0, "utf-8"))) {
  const library = packages[object.apiVersion.split("/")[0]];
  if (library === undefined) continue;
  // The library is older than v1 of External Secrets, which is v1beta1 under another name.
  const version = object.apiVersion.replace("external-secrets.io/v1", "external-secrets.io/v1beta1");
  const kinds = await import(`${library}/${version}/${object.kind}`);
  try {
    new kinds[object.kind]({ ...object, apiVersion: version }).validate();
  } catch (error) {
    console.log(`${object.kind} ${object.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
