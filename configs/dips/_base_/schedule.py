# Official DiPS, decoder: SGD with Nesterov momentum, no weight decay, batch 32, a tenth of the learning rate every
# third epoch. The learning rate belongs to the data set; the paper searches it in 1e-4 to 1e-1. Stages set what the
# linear classifier has otherwise.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 32
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.))
param_scheduler = dict(type='StepLR', by_epoch=True, step_size=3, gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
# Epoch and threshold are chosen on val, a held-out set.
evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='dips', map_to_box=dict(type='mmwsol.ContourBox', preset='dips'),
         threshold=dict(grid=0.001, select_by='gt_known', select_on='val')),
    dict(type='mmwsol.MaxBoxAcc', map_to_box=dict(type='mmwsol.ContourBox', preset='dips')),
]
default_hooks = dict(checkpoint=dict(save_best='loc/max_box_acc', rule='greater'))
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.ThresholdCalibrationHook'),
]
