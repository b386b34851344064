# CDTR on CUB-200-2011 by the protocol of wsolevaluation (Table XIII): epoch and threshold are chosen on CUBv2, the
# held-out set, and reported on CUB's test set.
_base_ = ['./cdtr_deit-s_cub.py']
model = dict(map_to_box=dict(_delete_=True, type='mmwsol.ContourBox', preset='cdtr'))
val_dataloader = dict(dataset=dict(type='mmwsol.CUBv2', data_root='data/CUBV2', split=''))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy',
        protocol='cdtr',
        map_to_box=dict(type='mmwsol.ContourBox', preset='cdtr'),
        threshold=dict(grid=0.01, select_by='top1', select_on='val')),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short'),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='loc/top1', rule='greater'))
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.ThresholdCalibrationHook'),
]
