package io.epidote.trainer;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * One thread's share of a step: its own leaf copy of the parameters, a forward and a backward pass.
 * Everything of a step lives in a manager of that step and is gone when it ends.
 */
final class Worker implements AutoCloseable {
  /** Share of the auxiliary loss while the whole model is trained. */
  private static final float AUXILIARY = 0.3f;

  private static final float BALANCE = 0.02f;

  private final Parameters parameters;
  private final NDManager manager;
  private final List<NDArray> statistics = new ArrayList<>();

  /** Loss of a step: what was minimised, and its parts. */
  record Result(float[] gradient, float answer, float auxiliary, float balance) {}

  Worker(Parameters parameters, List<float[]> statistics) {
    this.parameters = parameters;
    this.manager = NDManager.newBaseManager(Device.cpu(), "PyTorch");
    for (float[] values : statistics) {
      this.statistics.add(manager.create(values));
    }
  }

  /** Current running statistics of batch normalization. */
  List<float[]> statistics() {
    return statistics.stream().map(NDArray::toFloatArray).toList();
  }

  void setStatistics(List<float[]> values) {
    for (int i = 0; i < values.size(); i++) {
      statistics.get(i).set(FloatBuffer.wrap(values.get(i)));
    }
  }

  /** Gradient of the mean loss of a batch. */
  Result gradient(float[] flat, Batch batch) {
    return gradient(flat, batch, false);
  }

  /**
   * Gradient of the mean loss of a batch.
   *
   * @param frozenTower whether the tower is only run forward: its gradient is 0 and it has no
   *     auxiliary loss
   */
  Result gradient(float[] flat, Batch batch, boolean frozenTower) {
    // GradientCollector allows one collecting thread in the whole process; grad mode is per thread
    // underneath, so the
    // two calls that it would make are made here.
    JniUtils.setGradMode(true);
    JniUtils.setNumThreads(1);
    try (NDManager step = manager.newSubManager()) {
      NDArray leaf = step.create(flat);
      leaf.setRequiresGradient(true);
      // The gradient that was just attached is uninitialised memory, which backward adds to.
      JniUtils.zeroGrad((PtNDArray) leaf);
      SceneNet net = new SceneNet(parameters.config(), parameters.split(leaf));
      boolean towerOnly = batch.rows() == 0;
      JniUtils.setGradMode(!frozenTower);
      NDArray features = net.tower(tiles(step, batch), statistics, towerOnly);
      NDArray auxiliary = auxiliaryLoss(net.auxiliary(features), labels(step, batch));
      JniUtils.setGradMode(true);
      NDArray loss = auxiliary;
      NDArray answer = null;
      NDArray balance = null;
      if (!towerOnly) {
        SceneNet.Decoded decoded = decode(step, net, net.connector(features), batch);
        NDArray logs = decoded.logits().logSoftmax(1);
        NDArray targets = step.create(batch.targets()).expandDims(1);
        answer = logs.gather(targets, 1).mean().neg();
        balance = decoded.balance();
        loss =
            answer
                .add(SceneNet.scaled(auxiliary, AUXILIARY))
                .add(SceneNet.scaled(balance, BALANCE));
      }
      NDArray one = loss.onesLike();
      JniUtils.backward((PtNDArray) loss, (PtNDArray) one, false, false);
      try (NDArray gradient = leaf.getGradient()) {
        return new Result(
            gradient.toFloatArray(),
            answer == null ? 0 : answer.getFloat(),
            auxiliary.getFloat(),
            balance == null ? 0 : balance.getFloat());
      }
    }
  }

  /**
   * The most likely token at every selected position. An answer is exact when all of its positions
   * are, and greedy decoding gives the right answer in exactly that case: up to its first mistake
   * it has seen the same tokens.
   */
  long[] predict(float[] flat, Batch batch) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1); // small products: a second thread would mostly wait
    try (NDManager step = manager.newSubManager()) {
      SceneNet net = new SceneNet(parameters.config(), parameters.split(step.create(flat)));
      NDArray features = net.tower(tiles(step, batch), statistics, false);
      return decode(step, net, net.connector(features), batch).logits().argMax(1).toLongArray();
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  /** Share of shape-covered positions whose color, and whose kind, the auxiliary head has right. */
  float[] towerAccuracy(float[] flat, Batch batch) {
    JniUtils.setGradMode(false);
    JniUtils.setNumThreads(1); // small products: a second thread would mostly wait
    try (NDManager step = manager.newSubManager()) {
      SceneNet net = new SceneNet(parameters.config(), parameters.split(step.create(flat)));
      NDList heads =
          net.auxiliary(net.tower(tiles(step, batch), statistics, false))
              .split(new long[] {Labels.COLORS}, 2);
      NDList labels = labels(step, batch).split(new long[] {Labels.COLORS}, 2);
      float[] out = new float[2];
      for (int i = 0; i < 2; i++) {
        NDArray truth = labels.get(i).argMax(2);
        NDArray covered = truth.gt(0).toType(DataType.FLOAT32, false);
        NDArray right = heads.get(i).argMax(2).eq(truth).toType(DataType.FLOAT32, false);
        out[i] = right.mul(covered).sum().getFloat() / covered.sum().getFloat();
      }
      return out;
    } finally {
      JniUtils.setGradMode(true);
    }
  }

  @Override
  public void close() {
    manager.close();
  }

  private static NDArray auxiliaryLoss(NDArray logits, NDArray labels) {
    NDList heads = logits.split(new long[] {Labels.COLORS}, 2);
    NDList wanted = labels.split(new long[] {Labels.COLORS}, 2);
    NDArray color = heads.get(0).logSoftmax(2).mul(wanted.get(0)).sum();
    NDArray kind = heads.get(1).logSoftmax(2).mul(wanted.get(1)).sum();
    return color.add(kind).neg().div(wanted.get(0).sum());
  }

  /** Runs the decoder on a batch whose tiles have these media tokens. */
  static SceneNet.Decoded decode(NDManager step, SceneNet net, NDArray media, Batch batch) {
    int half = batch.cos().length / (batch.rows() * batch.length());
    Shape angles = new Shape(batch.rows(), batch.length(), 1, half);
    return net.decode(
        media,
        step.create(batch.ids(), new Shape(batch.rows(), batch.length())),
        step.create(batch.cos(), angles),
        step.create(batch.sin(), angles),
        step.create(batch.mask(), new Shape(batch.rows(), 1, batch.length(), batch.length())),
        step.create(batch.selected()));
  }

  /** The tiles of a batch, [tiles, 3, 64, 64]. */
  static NDArray tiles(NDManager step, Batch batch) {
    return step.create(
        batch.tiles(), new Shape(batch.tileCount(), 3, ModelConfig.TILE, ModelConfig.TILE));
  }

  private static NDArray labels(NDManager step, Batch batch) {
    return step.create(
        batch.labels(),
        new Shape(batch.tileCount(), (long) ModelConfig.GRID * ModelConfig.GRID, Labels.CLASSES));
  }
}
