# wsolevaluation's CAM on CUB: 50 epochs, batch 32. Learning rate, weight decay and the layers that learn ten times
# faster belong to the network.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 32
optim_wrapper = dict(optimizer=dict(type='SGD', momentum=0.9, nesterov=True))
# The official step rule divides at the start of every 15th epoch (epochs counted from 1).
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[14, 29, 44], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
