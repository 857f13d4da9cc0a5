package io.epidote.cli;

import io.fabric8.kubernetes.api.model.PersistentVolumeClaim;
import io.fabric8.kubernetes.api.model.Service;
import io.fabric8.kubernetes.api.model.ServiceAccount;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import io.fabric8.kubernetes.api.model.autoscaling.v2.HorizontalPodAutoscaler;
import io.fabric8.kubernetes.api.model.gatewayapi.v1.Gateway;
import io.fabric8.kubernetes.api.model.gatewayapi.v1.HTTPRoute;
import io.fabric8.kubernetes.api.model.networking.v1.NetworkPolicy;
import io.fabric8.kubernetes.api.model.policy.v1.PodDisruptionBudget;
import io.fabric8.kubernetes.api.model.rbac.Role;
import io.fabric8.kubernetes.api.model.rbac.RoleBinding;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MappingIterator;
import tools.jackson.databind.ObjectMapper;
import tools.jackson.databind.cfg.MapperConfig;
import tools.jackson.databind.introspect.Annotated;
import tools.jackson.databind.introspect.JacksonAnnotationIntrospector;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** Reads objects of Kubernetes strictly: what no model of a current version has is an error. */
final class DeployObjects {
  private static final Map<String, Class<?>> TYPES =
      Map.ofEntries(
          Map.entry("apps/v1 Deployment", Deployment.class),
          Map.entry("v1 Service", Service.class),
          Map.entry("v1 ServiceAccount", ServiceAccount.class),
          Map.entry("v1 PersistentVolumeClaim", PersistentVolumeClaim.class),
          Map.entry("policy/v1 PodDisruptionBudget", PodDisruptionBudget.class),
          Map.entry("networking.k8s.io/v1 NetworkPolicy", NetworkPolicy.class),
          Map.entry("rbac.authorization.k8s.io/v1 Role", Role.class),
          Map.entry("rbac.authorization.k8s.io/v1 RoleBinding", RoleBinding.class),
          Map.entry("autoscaling/v2 HorizontalPodAutoscaler", HorizontalPodAutoscaler.class),
          Map.entry("gateway.networking.k8s.io/v1 Gateway", Gateway.class),
          Map.entry("gateway.networking.k8s.io/v1 HTTPRoute", HTTPRoute.class));

  private static final String KUSTOMIZATION = "kustomize.config.k8s.io/v1beta1 Kustomization";
  private static final String COMPONENT = "kustomize.config.k8s.io/v1alpha1 Component";

  private static final YAMLMapper YAML =
      YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  /** Models keep fields that they do not know; this one does not let them. */
  private static final ObjectMapper STRICT =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .annotationIntrospector(
              new JacksonAnnotationIntrospector() {
                @Override
                public Boolean hasAnySetter(MapperConfig<?> config, Annotated annotated) {
                  return false;
                }
              })
          .build();

  private static final JsonNode OTHERS = others();

  private DeployObjects() {}

  private static JsonNode others() {
    try (InputStream in =
        Objects.requireNonNull(
            DeployObjects.class.getResourceAsStream("deploy/other-projects.yaml"))) {
      return YAML.readTree(in);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  /** The documents of a file. */
  static List<JsonNode> documents(String yaml) {
    try (MappingIterator<JsonNode> all = YAML.readerFor(JsonNode.class).readValues(yaml)) {
      List<JsonNode> documents = new ArrayList<>();
      all.forEachRemaining(documents::add);
      return documents.stream().filter(each -> !each.isNull() && !each.isMissingNode()).toList();
    }
  }

  /** {@code apps/v1 Deployment}, and so on. */
  static String kind(JsonNode object) {
    return object.path("apiVersion").asString("") + " " + object.path("kind").asString("");
  }

  /**
   * Reads an object as what it says it is.
   *
   * @throws RuntimeException when it has a field that its kind has not, or of another type, or no
   *     such kind is known
   */
  static void check(JsonNode object) {
    String kind = kind(object).replace(COMPONENT, KUSTOMIZATION);
    Class<?> type = TYPES.get(kind);
    if (type != null) {
      STRICT.treeToValue(object, type);
    } else if (OTHERS.has(kind)) {
      object
          .properties()
          .forEach(field -> {
            switch (field.getKey()) {
              case "apiVersion", "kind" -> {}
              case "metadata" ->
                  STRICT.treeToValue(
                      field.getValue(), io.fabric8.kubernetes.api.model.ObjectMeta.class);
              default ->
                  check(
                      field.getValue(),
                      OTHERS.get(kind).get(field.getKey()),
                      kind + " " + field.getKey());
            }
          });
    } else {
      throw new IllegalArgumentException("\"" + kind + "\" is no kind that is known here");
    }
  }

  private static void check(JsonNode value, @Nullable JsonNode form, String where) {
    if (form == null) {
      throw new IllegalArgumentException(where + " is no field that is known here");
    }
    if (form.isObject() && value.isObject()) {
      value
          .properties()
          .forEach(field ->
              check(field.getValue(), form.get(field.getKey()), where + "." + field.getKey()));
    } else if (form.isArray() && value.isArray()) {
      value.forEach(each -> check(each, form.get(0), where + "[]"));
    } else {
      boolean fits =
          switch (form.asString("")) {
            case "string" -> value.isString();
            case "integer" -> value.isIntegralNumber();
            case "boolean" -> value.isBoolean();
            case "strings" ->
                value.isObject()
                    && value.properties().stream().allMatch(each -> each.getValue().isString());
            default -> false;
          };
      if (!fits) {
        throw new IllegalArgumentException("%s is %s; expected %s".formatted(where, value, form));
      }
    }
  }
}
