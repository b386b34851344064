# A small vision transformer from scratch on Imagenette (ten classes, 64x64): what all methods share when they are
# compared. It classifies by its class token; the first stage of each method trains that. The threshold of the box rule is
# the best of the calibration half, and stays in the checkpoint.
_base_ = [
    '../models/small-vit_64.py',
    '../datasets/imagenette.py',
    '../pipelines/imagenette_64.py',
    '../schedules/small-vit.py',
]
model = dict(
    head=dict(type='mmwsol.ClsTokenHead', num_classes=10, in_channels=128),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy',
        map_to_box='model',
        threshold=dict(grid=0.01, select_by='gt_known', select_on='val')),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
# At the calibrated threshold: LocAccuracy and, as calibrated/..., MaxBoxAcc. MaxBoxAcc without it is the published way:
# the best threshold of the evaluated set.
test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc', map_to_box='model', threshold='model', prefix='calibrated'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.ThresholdCalibrationHook'),
]
