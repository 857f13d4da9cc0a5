package io.epidote.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A model with adapters, which share no answers, and how they are asked for. */
abstract class AdapterTestModel {
  static final Form FORM = Form.MIXTRAL;
  static final int TOKENS = 16;
  static final int REQUESTS = 16;
  static final List<String> NAMES = List.of("", "one", "two", "three");
  static final List<Map<Integer, List<Integer>>> EXPERTS =
      List.of(
          Map.of(0, List.of(0, 1), 1, List.of(2)),
          Map.of(0, List.of(1, 2, 3)),
          Map.of(0, List.of(0, 1, 2, 3), 1, List.of(0, 1, 2, 3)));

  /**
   * All prompts begin alike, so that a cache that took one adapter's blocks for another's shows.
   */
  static final String BEGINNING = "what color is the circle and the square ? ".repeat(5);

  @TempDir Path folder;

  @BeforeEach
  void write() {
    Map<String, Tensor> base = CheckpointFixture.tensors(FORM, 5);
    CheckpointFixture.write(FORM, folder.resolve("base"), base);
    for (int i = 0; i < EXPERTS.size(); i++) {
      AdapterFixture.esft(folder.resolve(NAMES.get(i + 1)), FORM, EXPERTS.get(i), 40 + i);
      CheckpointFixture.write(
          FORM,
          folder.resolve("merged-" + NAMES.get(i + 1)),
          AdapterFixture.merge(base, AdapterFixture.experts(FORM, EXPERTS.get(i), 40 + i), 1));
    }
  }

  void load(InferenceClient client, String name, String adapter, boolean replace) {
    client.loadAdapter(
        LoadAdapterRequest.newBuilder()
            .setName(name)
            .setFolder(folder.resolve(adapter).toString())
            .setReplace(replace)
            .build());
  }

  static List<String> ids(Cluster cluster) throws Exception {
    JsonNode models =
        new ObjectMapper()
            .readTree(
                HttpClient.newHttpClient()
                    .send(
                        HttpRequest.newBuilder(
                                URI.create("http://" + cluster.httpAddress() + "/v1/models"))
                            .build(),
                        HttpResponse.BodyHandlers.ofString())
                    .body());
    List<String> ids = new ArrayList<>();
    models.get("data").forEach(model -> ids.add(model.get("id").asText()));
    return ids;
  }

  static HttpResponse<String> ask(Cluster cluster, String model) throws Exception {
    String body =
        "{\"model\": \"%s\", \"max_tokens\": 4, \"messages\": [{\"role\": \"user\", \"content\": \"what is the circle\"}]}"
            .formatted(model);
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(
                    URI.create("http://" + cluster.httpAddress() + "/v1/chat/completions"))
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build(),
            HttpResponse.BodyHandlers.ofString());
  }

  Cluster start(String model, String nodes, Map<String, Path> adapters) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve(model);
    options.node.adapters.putAll(adapters);
    return LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
  }

  static GenerateRequest request(String model, int number) {
    return GenerateRequest.newBuilder()
        .setModel(model)
        .setText(
            TextPrompt.newBuilder()
                .setText(BEGINNING + "how many red ".repeat(1 + number / NAMES.size())))
        .setSampling(
            SamplingParams.newBuilder().setTemperature(0).setMaxTokens(TOKENS).setIgnoreEos(true))
        .build();
  }
}
