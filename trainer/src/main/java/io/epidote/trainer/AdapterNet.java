package io.epidote.trainer;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.epidote.trainer.Safetensors.Tensor;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The base with some experts replaced: forward and backward passes in which nothing but these
 * experts has a gradient. For one thread. The base's arrays are held until it is closed.
 */
final class AdapterNet implements AutoCloseable {
  private final ModelConfig config;
  private final ExpertParameters experts;
  private final NDManager manager;
  private final Map<String, NDArray> frozen = new HashMap<>();

  /** Loss and gradient of the experts' flat array. */
  record Result(float[] gradient, float loss) {}

  /**
   * The base with these experts to come.
   *
   * @param base stacked parameters, the stem folded
   */
  AdapterNet(ModelConfig config, Map<String, Tensor> base, ExpertParameters experts) {
    this.config = config;
    this.experts = experts;
    this.manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
    base.forEach((name, tensor) -> {
      NDArray array = manager.create(tensor.data(), new Shape(tensor.shape()));
      if (ExpertParameters.stacked(name)) {
        NDList each = array.split(config.experts(), 0);
        for (int e = 0; e < each.size(); e++) {
          frozen.put(name + "." + e, each.get(e));
        }
      } else {
        frozen.put(name, array);
      }
    });
  }

  /** Gradient of the mean loss of the answers' tokens. */
  Result gradient(float[] flat, AdapterBatches.Prepared prepared) {
    Batch batch = prepared.batch();
    JniUtils.setNumThreads(1); // one thread per worker
    JniUtils.setGradMode(true);
    try (NDManager step = manager.newSubManager()) {
      NDArray leaf = step.create(flat);
      leaf.setRequiresGradient(true);
      // The gradient that was just attached is uninitialised memory, which backward adds to.
      JniUtils.zeroGrad((PtNDArray) leaf);
      NDArray logits =
          forward(step, batch, media(step, prepared), leaf, (layer, chosen, gates) -> {});
      NDArray targets = step.create(batch.targets()).expandDims(1);
      NDArray loss = logits.logSoftmax(1).gather(targets, 1).mean().neg();
      NDArray one = loss.onesLike();
      JniUtils.backward((PtNDArray) loss, (PtNDArray) one, false, false);
      try (NDArray gradient = leaf.getGradient()) {
        return new Result(gradient.toFloatArray(), loss.getFloat());
      }
    }
  }

  /** The most likely token at every selected position of a batch. */
  long[] predict(float[] flat, Batch batch) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1);
    try (NDManager step = manager.newSubManager()) {
      return forward(
              step, batch, media(step, batch), step.create(flat), (layer, chosen, gates) -> {})
          .argMax(1)
          .toLongArray();
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /** Adds one sample, as the base routes it, to the scores. */
  void score(ExpertScores scores, AdapterBatches.Prepared batch) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1);
    try (NDManager step = manager.newSubManager()) {
      scores.add(step, this, batch);
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /**
   * Media tokens of a sample, which no adapter changes.
   *
   * @return [tiles * 16, hidden]
   */
  float[] media(Sample sample) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1);
    try (NDManager step = manager.newSubManager()) {
      return media(step, Batch.of(config, List.of(sample))).toFloatArray();
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /** The base's forward pass, watched. */
  void forward(
      NDManager step, AdapterBatches.Prepared prepared, SceneNet.RoutingListener listener) {
    run(step, prepared.batch(), media(step, prepared), frozen, listener);
  }

  private NDArray media(NDManager step, AdapterBatches.Prepared prepared) {
    float[] media = prepared.media();
    return step.create(media, new Shape(media.length / config.hidden(), config.hidden()));
  }

  private NDArray media(NDManager step, Batch batch) {
    SceneNet net = new SceneNet(config, frozen);
    // Folded statistics: the tower is in evaluation mode whatever happens.
    return net.connector(net.tower(Worker.tiles(step, batch), List.of(), false));
  }

  private NDArray forward(
      NDManager step, Batch batch, NDArray media, NDArray leaf, SceneNet.RoutingListener listener) {
    Map<String, NDArray> parameters = new HashMap<>(frozen);
    parameters.putAll(experts.split(leaf));
    return run(step, batch, media, parameters, listener);
  }

  private NDArray run(
      NDManager step,
      Batch batch,
      NDArray media,
      Map<String, NDArray> parameters,
      SceneNet.RoutingListener listener) {
    return Worker.decode(step, new SceneNet(config, parameters, listener), media, batch).logits();
  }

  @Override
  public void close() {
    manager.close();
  }
}
