# Official TRT on ILSVRC: as on CUB, but 12 epochs each, batch 512, and label smoothing in the first stage.
_base_ = ['./schedule_cub.py']
total_batch_size = 512
optim_wrapper = dict(optimizer=dict(lr=5e-4))
# The official step rule divides at every multiple of 2, 4, 6 and 8, once an epoch.
param_scheduler = dict(milestones=[1, 3, 5, 7, 9, 11], gamma=0.4)
train_cfg = dict(max_epochs=12)
auto_scale_lr = dict(base_batch_size=total_batch_size)
stages = [
    dict(
        name='tpsm',
        model=dict(
            head=dict(
                train_part='tpsm',
                loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')))),
    dict(  # no label smoothing here; paper: 10 epochs
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam'))),
]
