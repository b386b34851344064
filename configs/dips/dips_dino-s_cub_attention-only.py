# The baseline of DiPS: DINO's attention, here the mean of its heads, and the linear classifier (Table 4, which takes for
# every image the map of the proposal that the classifier ranks first). model.head.attention_map=1 to 4: a single head.
_base_ = ['./dips_dino-s_cub.py']
stages = [
    dict(
        name='classifier',
        model=dict(head=dict(attention_map=0)),
        train_dataloader=dict(dataset=dict(pipeline={{_base_.classifier_pipeline}})),
        optim_wrapper=dict(optimizer=dict(lr=1.25e-4, nesterov=False)),
        param_scheduler=dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True),
        train_cfg=dict(max_epochs=100, val_interval=10)),
]
