# SAT, DeiT-S on OpenImages30k: masks, no boxes; images are squashed, not cropped, at test. No setting is published:
# those of CUB, lambda of ILSVRC.
_base_ = [
    './_base_/deit-s.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/openimages.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(
    head=dict(num_classes=100, map_losses=dict(loss_area=dict(target=0.35, sync=True))),  # unspecified
    map_to_box=dict(threshold=0.4))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# The map is normalized before it is resized, as for boxes.
val_evaluator = test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.PxAP', map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'), map_class='agnostic'),
]
# The epoch is chosen on val; tools/test.py reports on test.
default_hooks = dict(checkpoint=dict(save_best='seg/pxap', rule='greater'))
